# CPython's core for Windows: what upstream's projects list (LISTS/*.mk, made by vcxproj.py), compiled and linked by clang and lld.
# core: out/full and out/stripped: DLLs and programs; out/libs: import libraries; out/include: pyconfig.h.
# SRC: CPython's tree, LISTS, FROZEN (with Python/frozen_modules), RES (PROJECT.res, of resources.mk), OUT
PROGRAMS = python pythonw
comma = ,
.PHONY: core
core: $(foreach name,pythoncore python3dll $(PROGRAMS),$(name).linked) $(OUT)/include/pyconfig.h

include $(foreach name,pythoncore python3dll $(PROGRAMS),$(LISTS)/$(name).mk)

# -fwrapv: MSVC lets integers wrap. What upstream's sources do as MSVC allows is no error; an unknown function is.
CFLAGS = -O3 -g -std=gnu11 -fwrapv -Wno-everything -Werror=implicit-function-declaration -Werror=int-conversion -Iinclude
pythoncore.FLAGS = -I$(FROZEN) -I$(FROZEN)/Python
$(foreach name,pythoncore $(PROGRAMS),$($(name).OBJECTS)): include/pyconfig.h

include/pyconfig.h: $(SRC)/PC/pyconfig.h.in
	mkdir -p include
	cp $< $@
$(OUT)/include/pyconfig.h: include/pyconfig.h
	mkdir -p $(@D)
	cp $< $@

# link NAME FLAGS INPUTS: as it is debugged, and without symbols
link = mkdir -p $(OUT)/full $(OUT)/stripped $(OUT)/libs && \
    $(CC) $(2) -o $(OUT)/full/$($(1).TARGET) $(3) $($(1).LIBS) && \
    $(CC) $(2) -s -o $(OUT)/stripped/$($(1).TARGET) $(3) $($(1).LIBS) && touch $@

LIBRARY = $(OUT)/libs/$(pythoncore.TARGET:.dll=.lib)

pythoncore.linked: $(pythoncore.OBJECTS)
	$(call link,pythoncore,-shared -Wl$(comma)--out-implib$(comma)$(LIBRARY),$(pythoncore.OBJECTS) $(RES)/pythoncore.res)

# Forwards to the DLL of this version; upstream's source has them as pragmas of MSVC's linker.
python3dll.def: $(SRC)/PC/python3dll.c
	{ echo EXPORTS; sed -n 's/^EXPORT_FUNC(\(.*\))$$/\1=$(pythoncore.TARGET:.dll=).\1/p; s/^EXPORT_DATA(\(.*\))$$/\1=$(pythoncore.TARGET:.dll=).\1 DATA/p' $<; } > $@
python3dll.linked: python3dll.def
	$(call link,python3dll,-shared -nostdlib -Wl$(comma)--entry=$(comma)--out-implib$(comma)$(OUT)/libs/python3.lib,$^ $(RES)/python3dll.res)

python.linked: $(python.OBJECTS)
pythonw.linked: $(pythonw.OBJECTS)
$(PROGRAMS:%=%.linked): %.linked: pythoncore.linked
	$(call link,$*,-municode -Wl$(comma)--subsystem$(comma)$($*.SUBSYSTEM)$(comma)--stack$(comma)$($*.STACK),$($*.OBJECTS) $(RES)/$*.res $(LIBRARY))
