# The core's links for macOS, read after CPython's own Makefile (make -f Makefile -f darwin.mk core), whose variables it uses. What core.mk says
# of one set of objects, of LTO and of bin/python holds here, too.
# PYTHON is python3.13, SONAME libpython3.13.dylib, STABLE_ABI nothing, OUT the output folder, REFERENCES the command that runs references.py; all are
# given on the command line.
#
# Both variants are linked without debug map (-S): it would name object files of the sandbox. The full one keeps the names of local functions.

CORE_OBJS = $(LIBRARY_OBJS) $(LIBMPDEC_OBJS) $(LIBEXPAT_OBJS) $(LIBHACL_SHA2_OBJS)
CORE_LIBS = $(LIBS) $(filter-out %.a,$(MODLIBS)) $(SYSLIBS)
CORE_LINK = $(CC) $(PY_CORE_LDFLAGS) -Wl,-S
KEPT_OBJS = $(addprefix $(OUT)/objects/,$(CORE_OBJS) Programs/python.o)
# what is linked: lld leaves the machine code of each bitcode object in the folder lto/core, known once MADE_OBJS is
MADE_OBJS = $(if $(LTO),lto/core.dylib,$(CORE_OBJS))
# (the table of modules is no bitcode, and goes in as it is)
TABLE = Modules/config.o
LINK_OBJS = $(if $(LTO),lto/core/*.o $(TABLE),$(CORE_OBJS))
CFLAGS_NODIST += $(LTO)

STRIP_full =
STRIP_stripped = -Wl,-x
VARIANTS = $(OUT)/full $(OUT)/stripped
# lld does not know Apple's -stack_size: the number is written after the link
COMMA = ,
PROGRAM_FLAGS = $(filter-out -Wl$(COMMA)-stack_size%,$(LINKFORSHARED))

# the prefix that is taken when nothing else was found: no folder of any machine, and none that an installer would rewrite
Modules/getpath.o: prefix = /nonexistent

.PHONY: core python
core: $(foreach v,$(VARIANTS),$(v)/bin/$(PYTHON) $(v)/lib/$(SONAME)) $(OUT)/static/$(LIBRARY) $(KEPT_OBJS)

DEEPFROZEN = $(DEEPFREEZE_OBJS:.o=.c)
python: $(FROZEN_FILES_OUT) $(DEEPFROZEN) Programs/python.o $(CORE_OBJS)
	mkdir -p $(OUT)/Python $(OUT)/bin
	$(CORE_LINK) $(PROGRAM_FLAGS) -o $(OUT)/bin/$(PYTHON) Programs/python.o $(CORE_OBJS) $(CORE_LIBS)
	cp -R Python/frozen_modules $(dir $(DEEPFROZEN)) $(OUT)/Python/

# versions are three numbers: 3.13.0
SHARED = $(CORE_LINK) -dynamiclib -install_name @rpath/$(SONAME) -compatibility_version $(VERSION).0 -current_version $(VERSION).0

lto/core.dylib: $(CORE_OBJS)
	mkdir -p lto/core
	$(SHARED) $(LTO) -Wl,-object_path_lto,lto/core -o $@ $(CORE_OBJS) $(CORE_LIBS)

# the one object of the program itself has nothing to optimise across, nor has a table of data
Programs/python.o $(TABLE) lto/config.o: override LTO =

# extension modules look up functions of Python in the program: none of them is dead
$(OUT)/%/bin/$(PYTHON): Programs/python.o $(MADE_OBJS)
	mkdir -p $(@D)
	$(CORE_LINK) $(STRIP_$*) -Wl,-export_dynamic -Wl,-rpath,@executable_path/../lib $(PROGRAM_FLAGS) -o $@ Programs/python.o $(LINK_OBJS) $(CORE_LIBS)

$(OUT)/%/lib/$(SONAME): $(MADE_OBJS)
	mkdir -p $(@D)
	$(SHARED) $(STRIP_$*) -o $@ $(LINK_OBJS) $(CORE_LIBS)

# After link-time optimisation calls between files are inlined, and a function of the C API whose file nobody names any more would be left out of a
# program, though a module may look for it there. core.mk makes one object of them all, which lld cannot for macOS: here the table of modules, which
# every interpreter needs, names an object each.
lto/references.h: $(MADE_OBJS)
	$(REFERENCES) $@ lto/core/*.o

lto/config.o: lto/references.h
	$(CC) -c $(PY_CORE_CFLAGS) -include $< -o $@ Modules/config.c

$(OUT)/static/$(LIBRARY): $(MADE_OBJS) $(if $(LTO),lto/config.o)
	mkdir -p $(@D)
	$(AR) rcsD $@ $(if $(LTO),lto/core/*.o lto/config.o,$(LINK_OBJS))

$(OUT)/objects/%.o: %.o
	mkdir -p $(@D)
	cp $< $@
