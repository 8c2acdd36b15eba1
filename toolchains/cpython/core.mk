# The core's links, read after CPython's own Makefile (make -f Makefile -f core.mk core), whose variables it uses.
#
# bin/python holds libpython's objects itself: calls inside the interpreter are direct, and no library is searched for at start. The shared
# libpython for embedders is linked from the same objects, as is the static one; each program and library comes twice, full (with debug
# information) and stripped.
# PYTHON is python3.13, SONAME libpython3.13.so.1.0, OUT the output folder; all are given on the command line.

# the private libraries of _decimal, pyexpat and _sha2 go in as objects, so that libpython.a is whole
CORE_OBJS = $(LIBRARY_OBJS) $(LIBMPDEC_OBJS) $(LIBEXPAT_OBJS) $(LIBHACL_SHA2_OBJS)
CORE_LIBS = $(LIBS) $(filter-out %.a,$(MODLIBS)) $(SYSLIBS)
CORE_LINK = $(CC) $(PY_CORE_LDFLAGS)
KEPT_OBJS = $(addprefix $(OUT)/objects/,$(CORE_OBJS) Programs/python.o)

STRIP_full =
STRIP_stripped = -Wl,-s
VARIANTS = $(OUT)/full $(OUT)/stripped

# the prefix that is taken when nothing else was found: no folder of any machine, and none that an installer would rewrite
Modules/getpath.o: prefix = /nonexistent

.PHONY: core
core: $(foreach v,$(VARIANTS),$(v)/bin/$(PYTHON) $(v)/lib/$(SONAME) $(v)/lib/libpython3.so) $(OUT)/static/$(LIBRARY) $(KEPT_OBJS)

$(OUT)/%/bin/$(PYTHON): Programs/python.o $(CORE_OBJS)
	mkdir -p $(@D)
	$(CORE_LINK) -pie $(STRIP_$*) '-Wl,-rpath,$$ORIGIN/../lib' $(LINKFORSHARED) -o $@ Programs/python.o $(CORE_OBJS) $(CORE_LIBS)

# -Bsymbolic-functions: what libpython calls of its own, it calls directly here, too
$(OUT)/%/lib/$(SONAME): $(CORE_OBJS)
	mkdir -p $(@D)
	$(CORE_LINK) -shared $(STRIP_$*) -Wl,-soname,$(SONAME) -Wl,-Bsymbolic-functions -o $@ $(CORE_OBJS) $(CORE_LIBS)

$(OUT)/%/lib/libpython3.so: $(OUT)/%/lib/$(SONAME)
	$(CORE_LINK) -shared $(STRIP_$*) -Wl,-soname,libpython3.so '-Wl,-rpath,$$ORIGIN' -o $@ -Wl,--no-as-needed $< -Wl,--as-needed

$(OUT)/static/$(LIBRARY): $(CORE_OBJS)
	mkdir -p $(@D)
	$(AR) rcsD $@ $(CORE_OBJS)

$(OUT)/objects/%.o: %.o
	mkdir -p $(@D)
	cp $< $@
