# libc++ with libc++abi, and libunwind, as static libraries, and their headers.
# make -f build.mk SRC=zig/lib SITE=config_site.h MORE=fmaxf128.c OUT=folder CXX=... CC=... AR=...
# gives: OUT/include/c++/v1, OUT/lib (libc++, libunwind; libstdc++ and libatomic for those who name them), OUT/licenses
# operator new and delete are libc++abi's
CXX_SOURCES = $(filter-out %/src/new.cpp,$(sort $(wildcard $(addprefix $(SRC)/libcxx/src/,*.cpp filesystem/*.cpp ryu/*.cpp))))
ABI_SOURCES = $(filter-out %/cxa_noexception.cpp,$(sort $(wildcard $(SRC)/libcxxabi/src/*.cpp)))
UNWIND_SOURCES = $(addprefix $(SRC)/libunwind/src/,libunwind.cpp UnwindLevel1.c UnwindLevel1-gcc-ext.c gcc_personality_v0.c UnwindRegistersRestore.S UnwindRegistersSave.S)
CXX_OBJECTS = $(patsubst $(SRC)/%,%.o,$(CXX_SOURCES) $(ABI_SOURCES))
UNWIND_OBJECTS = $(patsubst $(SRC)/%,%.o,$(UNWIND_SOURCES))
OBJECTS = $(CXX_OBJECTS) $(UNWIND_OBJECTS)
HEADERS = $(OUT)/include/c++/v1
PATCHED = __config $(addprefix __configuration/,abi.h compiler.h experimental.h hardening.h language.h platform.h)

# Hidden throughout: each module that is linked with it has its own, and answers for no other's.
FLAGS = -O2 -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections -funwind-tables -D_LIBUNWIND_HIDE_SYMBOLS -D_LIBUNWIND_IS_NATIVE_ONLY \
    -DNDEBUG -I$(SRC)/libunwind/include
CXXFLAGS = $(FLAGS) -std=c++23 -nostdinc++ -fvisibility-inlines-hidden -D_LIBCPP_DISABLE_VISIBILITY_ANNOTATIONS \
    -D_LIBCXXABI_DISABLE_VISIBILITY_ANNOTATIONS -isystem $(HEADERS) -I$(SRC)/libcxx/src -I$(SRC)/libcxx/libc
libcxx/%: CXXFLAGS += -D_LIBCPP_BUILDING_LIBRARY -DLIBCXX_BUILDING_LIBCXXABI -DLIBC_NAMESPACE=__llvm_libc_common_utils -faligned-allocation
libcxxabi/%: CXXFLAGS += -D_LIBCXXABI_BUILDING_LIBRARY -D_LIBCPP_BUILDING_LIBRARY
libunwind/%: CXXFLAGS += -fno-exceptions -fno-rtti

all: $(OUT)/lib/libc++.a $(OUT)/lib/libunwind.a $(OUT)/licenses/LICENSE.libcxx.txt
	echo 'INPUT ( libc++.a )' > $(OUT)/lib/libstdc++.a
	$(AR) rcsD $(OUT)/lib/libatomic.a

$(OUT)/lib/libc++.a: $(CXX_OBJECTS)
$(OUT)/lib/libunwind.a: $(UNWIND_OBJECTS) fmaxf128.o
$(OUT)/lib/%.a:
	mkdir -p $(@D)
	$(AR) rcsD $@ $^

fmaxf128.o: $(MORE)
	$(CC) $(FLAGS) -c $< -o $@

$(OUT)/licenses/LICENSE.libcxx.txt: $(SRC)/libcxx/LICENSE.TXT
	install -D -m 644 $< $@

# zig gives the site's settings on each command line, and took the header that holds them out.
headers:
	mkdir -p $(HEADERS)
	cp -R $(SRC)/libcxx/include/. $(SRC)/libcxxabi/include/. $(HEADERS)
	chmod -R u+w $(HEADERS)
	for name in $(PATCHED); do \
	    sed -i 's|^/\* zig patch: instead of including __config_site.*|#include <__config_site>|' $(HEADERS)/$$name; \
	    grep -q '^#include <__config_site>' $(HEADERS)/$$name || { echo "build.mk: $$name does not say where __config_site was" >&2; exit 1; }; \
	done
	cp $(SITE) $(HEADERS)/__config_site

$(OBJECTS): | headers

$(filter %.cpp.o,$(OBJECTS)): %.o: $(SRC)/%
	mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) -c $< -o $@

$(filter %.c.o,$(OBJECTS)): %.o: $(SRC)/%
	mkdir -p $(@D)
	$(CC) $(FLAGS) -std=c99 -c $< -o $@

$(filter %.S.o,$(OBJECTS)): %.o: $(SRC)/%
	mkdir -p $(@D)
	$(CC) $(FLAGS) -c $< -o $@

.PHONY: all headers
