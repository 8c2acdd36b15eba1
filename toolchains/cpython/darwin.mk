# The core's links for macOS, read after CPython's own Makefile (make -f Makefile -f darwin.mk core), whose variables it uses. What core.mk says
# of one set of objects, of LTO and of bin/python holds here, too.
# PYTHON is python3.13, SONAME libpython3.13.dylib, STABLE_ABI nothing, OUT the output folder; all are given on the command line.
#
# Both variants are linked without debug map (-S): it would name object files of the sandbox. The full one keeps the names of local functions.

CORE_OBJS = $(LIBRARY_OBJS) $(LIBMPDEC_OBJS) $(LIBEXPAT_OBJS) $(LIBHACL_SHA2_OBJS)
CORE_LIBS = $(LIBS) $(filter-out %.a,$(MODLIBS)) $(SYSLIBS)
CORE_LINK = $(CC) $(PY_CORE_LDFLAGS) -Wl,-S
KEPT_OBJS = $(addprefix $(OUT)/objects/,$(CORE_OBJS) Programs/python.o)
# what is linked: lld leaves the machine code of each bitcode object in the folder lto/core, known once MADE_OBJS is
MADE_OBJS = $(if $(LTO),lto/core.dylib,$(CORE_OBJS))
LINK_OBJS = $(if $(LTO),lto/core/*.o,$(CORE_OBJS))
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

# the one object of the program itself has nothing to optimise across
Programs/python.o: override LTO =

# extension modules look up functions of Python in the program: none of them is dead
$(OUT)/%/bin/$(PYTHON): Programs/python.o $(MADE_OBJS)
	mkdir -p $(@D)
	$(CORE_LINK) $(STRIP_$*) -Wl,-export_dynamic -Wl,-rpath,@executable_path/../lib $(PROGRAM_FLAGS) -o $@ Programs/python.o $(LINK_OBJS) $(CORE_LIBS)

$(OUT)/%/lib/$(SONAME): $(MADE_OBJS)
	mkdir -p $(@D)
	$(SHARED) $(STRIP_$*) -o $@ $(LINK_OBJS) $(CORE_LIBS)

$(OUT)/static/$(LIBRARY): $(MADE_OBJS)
	mkdir -p $(@D)
	$(AR) rcsD $@ $(LINK_OBJS)

$(OUT)/objects/%.o: %.o
	mkdir -p $(@D)
	cp $< $@
