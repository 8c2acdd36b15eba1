# Tcl or Tk as a DLL with its scripts inside, in the tree that upstream's win/configure left: its Makefile has the lists and the objects' rules.
# NAME (tcl or tk), PARTS (objects), DLL (file name), SCRIPT (of resources), SRC, SCRIPTS (folder of scripts.zip), OUT
.PHONY: dll
dll:

include Makefile

# What is configured as a static library has zlib and libtommath inside, but would not be exported.
AC_FLAGS := $(filter-out -DSTATIC_BUILD=1,$(AC_FLAGS))
# (the sysroot has it in a library that is always searched)
LINK = $(filter-out -luuid,$(LIBS))

dll: $(OUT)/bin/$(DLL)

$(OUT)/bin/$(DLL): $(PARTS) zip.o $(NAME).res
	mkdir -p $(OUT)/bin $(OUT)/lib
	$(CC) -shared -s -Wl,--pdb= -Wl,--out-implib,$(OUT)/lib/lib$(DLL).a -o $@ $^ $(LINK)

zip.o: $(dir $(firstword $(MAKEFILE_LIST)))zip.S $(SCRIPTS)/scripts.zip
	$(CC) -c -DNAME=$(NAME)_scripts -I$(SCRIPTS) $< -o $@

floats.o: $(dir $(firstword $(MAKEFILE_LIST)))floats.c
	$(CC) -c -O2 -fno-builtin -o $@ $<

# The script names files beside itself, and a manifest that configure made.
$(NAME).res: $(SCRIPT)
	$(CC) -E -x c -fuse-line-directives -DRC_INVOKED $(filter -I%,$(CC_SWITCHES)) $< > $(NAME).i
	rc /i $(dir $<) /i . /fo $@ $(NAME).i
