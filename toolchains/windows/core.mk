# CPython's core for Windows: what upstream's projects list (LISTS/*.mk, made by vcxproj.py), compiled and linked by clang and lld.
# core: out/full and out/stripped: DLLs and programs; out/libs: import libraries; out/include: pyconfig.h.
# SRC: CPython's tree, LISTS, FROZEN (with Python/frozen_modules), RES (PROJECT.res, of resources.mk), OUT
PROGRAMS = python pythonw
.PHONY: core
core: $(foreach name,pythoncore python3dll $(PROGRAMS),$(name).linked) $(OUT)/include/pyconfig.h

include $(foreach name,pythoncore python3dll $(PROGRAMS),$(LISTS)/$(name).mk)

CONFIG = include
include $(dir $(firstword $(MAKEFILE_LIST)))common.mk
pythoncore.FLAGS = -I$(FROZEN) -I$(FROZEN)/Python
$(foreach name,pythoncore $(PROGRAMS),$($(name).OBJECTS)): include/pyconfig.h

include/pyconfig.h: $(SRC)/PC/pyconfig.h.in
	mkdir -p include
	cp $< $@
$(OUT)/include/pyconfig.h: include/pyconfig.h
	mkdir -p $(@D)
	cp $< $@

LIBRARY = $(OUT)/libs/$(pythoncore.TARGET:.dll=.lib)

pythoncore.linked: $(pythoncore.OBJECTS)
	mkdir -p $(OUT)/libs
	$(call link,pythoncore,-shared -Wl$(comma)--out-implib$(comma)$(LIBRARY),$(pythoncore.OBJECTS) $(RES)/pythoncore.res)

# Forwards to the DLL of this version; upstream's source has them as pragmas of MSVC's linker.
python3dll.def: $(SRC)/PC/python3dll.c
	{ echo EXPORTS; sed -n 's/^EXPORT_FUNC(\(.*\))$$/\1=$(pythoncore.TARGET:.dll=).\1/p; s/^EXPORT_DATA(\(.*\))$$/\1=$(pythoncore.TARGET:.dll=).\1 DATA/p' $<; } > $@
python3dll.linked: python3dll.def
	mkdir -p $(OUT)/libs
	$(call link,python3dll,-shared -nostdlib -Wl$(comma)--entry=$(comma)--out-implib$(comma)$(OUT)/libs/python3.lib,$^ $(RES)/python3dll.res)

python.linked: $(python.OBJECTS)
pythonw.linked: $(pythonw.OBJECTS)
$(PROGRAMS:%=%.linked): %.linked: pythoncore.linked
	$(call link,$*,-municode -Wl$(comma)--subsystem$(comma)$($*.SUBSYSTEM)$(comma)--stack$(comma)$($*.STACK),$($*.OBJECTS) $(RES)/$*.res $(LIBRARY))
