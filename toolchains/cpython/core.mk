# The core's links, read after CPython's own Makefile (make -f Makefile -f core.mk core), whose variables it uses.
#
# bin/python holds libpython's objects itself: calls inside the interpreter are direct, and no library is searched for at start. The shared
# libpython for embedders is linked from the same objects, as is the static one; each program and library comes twice, full (with debug
# information) and stripped.
# With LTO=-flto=thin the objects are bitcode. The shared libpython is linked from them once, and lld leaves the machine code that it made of
# them, from which all else is linked: one code generation, and a static libpython that any linker reads.
# PYTHON is python3.13, SONAME libpython3.13.so.1.0, STABLE_ABI libpython3.so or nothing, OUT the output folder; all are given on the command line.

# the private libraries of _decimal, pyexpat and _sha2 go in as objects, so that libpython.a is whole
CORE_OBJS = $(LIBRARY_OBJS) $(LIBMPDEC_OBJS) $(LIBEXPAT_OBJS) $(LIBHACL_SHA2_OBJS)
CORE_LIBS = $(LIBS) $(filter-out %.a,$(MODLIBS)) $(SYSLIBS)
CORE_LINK = $(CC) $(PY_CORE_LDFLAGS)
KEPT_OBJS = $(addprefix $(OUT)/objects/,$(CORE_OBJS) Programs/python.o)
# what is linked: LTO_OBJS are lto/core.o, lto/core.o1, ..., known once MADE_OBJS is
MADE_OBJS = $(if $(LTO),lto/core.so,$(CORE_OBJS))
# (assembly is no bitcode, and goes in as it is)
LINK_OBJS = $(if $(LTO),lto/core.o* $(filter %/asm_trampoline.o,$(CORE_OBJS)),$(CORE_OBJS))
CFLAGS_NODIST += $(LTO)

STRIP_full =
STRIP_stripped = -Wl,-s
VARIANTS = $(OUT)/full $(OUT)/stripped

# the prefix that is taken when nothing else was found: no folder of any machine, and none that an installer would rewrite
Modules/getpath.o: prefix = /nonexistent

.PHONY: core python
core: $(foreach v,$(VARIANTS),$(v)/bin/$(PYTHON) $(v)/lib/$(SONAME) $(addprefix $(v)/lib/,$(STABLE_ABI))) $(OUT)/static/$(LIBRARY) $(KEPT_OBJS)

# The Python that runs steps of the build, and the frozen modules of every core. 3.11 also writes them as C objects
DEEPFROZEN = $(DEEPFREEZE_OBJS:.o=.c)
python: $(FROZEN_FILES_OUT) $(DEEPFROZEN) Programs/python.o $(CORE_OBJS)
	mkdir -p $(OUT)/Python $(OUT)/bin
	$(CORE_LINK) -pie -Wl,-s $(LINKFORSHARED) -o $(OUT)/bin/$(PYTHON) Programs/python.o $(CORE_OBJS) $(CORE_LIBS)
	cp -R Python/frozen_modules $(dir $(DEEPFROZEN)) $(OUT)/Python/

# -Bsymbolic-functions: what libpython calls of its own, it calls directly here, too
SHARED = $(CORE_LINK) -shared -Wl,-soname,$(SONAME) -Wl,-Bsymbolic-functions

lto/core.so: $(CORE_OBJS)
	mkdir -p $(@D)
	$(SHARED) $(LTO) -Wl,--lto-obj-path=lto/core.o -o $@ $(CORE_OBJS) $(CORE_LIBS)

# the one object of the program itself has nothing to optimise across
Programs/python.o: override LTO =

$(OUT)/%/bin/$(PYTHON): Programs/python.o $(MADE_OBJS)
	mkdir -p $(@D)
	$(CORE_LINK) -pie $(STRIP_$*) '-Wl,-rpath,$$ORIGIN/../lib' $(LINKFORSHARED) -o $@ Programs/python.o $(LINK_OBJS) $(CORE_LIBS)

$(OUT)/%/lib/$(SONAME): $(MADE_OBJS)
	mkdir -p $(@D)
	$(SHARED) $(STRIP_$*) -o $@ $(LINK_OBJS) $(CORE_LIBS)

$(OUT)/%/lib/libpython3.so: $(OUT)/%/lib/$(SONAME)
	$(CORE_LINK) -shared $(STRIP_$*) -Wl,-soname,libpython3.so '-Wl,-rpath,$$ORIGIN' -o $@ -Wl,--no-as-needed $< -Wl,--as-needed

# after link-time optimisation one object: calls between files are inlined, and a function of the C API whose file nobody names any more would
# be left out of a program, though a module may look for it there
$(OUT)/static/$(LIBRARY): $(MADE_OBJS)
	mkdir -p $(@D)
	$(if $(LTO),ld -r -o lto/libpython.o $(LINK_OBJS))
	$(AR) rcsD $@ $(if $(LTO),lto/libpython.o,$(LINK_OBJS))

$(OUT)/objects/%.o: %.o
	mkdir -p $(@D)
	cp $< $@
