# One extension module of CPython for Windows, or a library or program beside it: project NAME, listed in LISTS/NAME.mk.
# SRC: CPython's tree, CORE (core.mk's include/ and libs/), RES (NAME.res, of resources.mk), OUT; FLAGS of the compiler, LINK: words for the linker
.PHONY: module
module: $(NAME).linked

include $(LISTS)/$(NAME).mk
CONFIG = $(CORE)/include
include $(dir $(firstword $(MAKEFILE_LIST)))common.mk
CXXFLAGS = $(filter-out -std=gnu11,$(CFLAGS))
$(NAME).FLAGS = $(FLAGS)
# (of names that headers define themselves)
$(NAME).LIBS := $(filter-out -lwbemuuid,$($(NAME).LIBS))
DynamicLibrary = -shared
Application = -municode -Wl,--subsystem,$($(NAME).SUBSYSTEM)
WITH = $(LINK) $(wildcard $(CORE)/libs/python3??.lib) $($(NAME).LIBDIRS) $(addprefix -Wl$(comma)-Xlink=-export:,$($(NAME).EXPORTS))

%.o: ../%.cpp
	$(CXX) -c $(CXXFLAGS) $(FLAGS) -o $@ $<

$(NAME).linked: $($(NAME).OBJECTS) $(filter %.o,$(LINK))
	mkdir -p $(OUT)/libs
	$(call link,$(NAME),$($($(NAME).TYPE)),$($(NAME).OBJECTS) $(wildcard $(RES)/$(NAME).res) $(WITH))
