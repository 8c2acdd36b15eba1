# CPython's core for Windows: what upstream's projects list (LISTS/*.mk, made by vcxproj.py), compiled and linked by clang and lld.
# core: out/full and out/stripped: DLLs and programs; out/libs: import libraries; out/include: pyconfig.h.
# SRC: CPython's tree, LISTS, FROZEN (with Python/frozen_modules), RES (PROJECT.res, of resources.mk), API (with pyconfig.h), OUT
# LTO: not empty to optimise the DLL as a whole
PROGRAMS = python pythonw
.PHONY: core
core: $(foreach name,pythoncore python3dll,$(name).linked) $(PROGRAMS:%=%.copied) $(OUT)/include/pyconfig.h

include $(foreach name,pythoncore python3dll $(PROGRAMS),$(LISTS)/$(name).mk)

CONFIG = $(API)
include $(dir $(firstword $(MAKEFILE_LIST)))common.mk
OPTIMISED = $(if $(LTO),-flto=thin)
pythoncore.FLAGS = $(OPTIMISED) -I$(FROZEN) -I$(FROZEN)/Python
$(OUT)/include/pyconfig.h: $(API)/pyconfig.h
	mkdir -p $(@D)
	cp $< $@

LIBRARY = $(OUT)/libs/$(pythoncore.TARGET:.dll=.lib)

pythoncore.linked: $(pythoncore.OBJECTS)
	mkdir -p $(OUT)/libs
	$(call link,pythoncore,$(OPTIMISED) -shared -Wl$(comma)--out-implib$(comma)$(LIBRARY),$(pythoncore.OBJECTS) $(RES)/pythoncore.res)

# Forwards to the DLL of this version; upstream's source has them as pragmas of MSVC's linker.
python3dll.def: $(SRC)/PC/python3dll.c
	{ echo EXPORTS; sed -n 's/^EXPORT_FUNC(\(.*\))$$/\1=$(pythoncore.TARGET:.dll=).\1/p; s/^EXPORT_DATA(\(.*\))$$/\1=$(pythoncore.TARGET:.dll=).\1 DATA/p' $<; } > $@
python3dll.linked: python3dll.def
	mkdir -p $(OUT)/libs
	$(call link,python3dll,-shared -nostdlib -Wl$(comma)--out-implib$(comma)$(OUT)/libs/$(python3dll.TARGET:.dll=.lib),$^ $(RES)/python3dll.res)

python.linked: $(python.OBJECTS)
pythonw.linked: $(pythonw.OBJECTS)
$(PROGRAMS:%=%.linked): %.linked: pythoncore.linked
	$(call link,$*,-municode -Wl$(comma)--subsystem$(comma)$($*.SUBSYSTEM)$(comma)--stack$(comma)$($*.STACK),$($*.OBJECTS) $(RES)/$*.res $(LIBRARY))

# Beside the name with its ABI, each program has the one that launchers, installers and users look for, and the one that venv does for that.
$(PROGRAMS:%=%.copied): %.copied: %.linked
	$(call copies,$($*.TARGET),$*.exe $(call plain,$($*.TARGET)))
