# One extension module of CPython for Windows, or a library or program beside it: project NAME, listed in LISTS/NAME.mk.
# SRC: CPython's tree, API (pyconfig.h and import libraries), DLL (the core's name, less .dll), RES (NAME.res, of resources.mk), OUT;
# FLAGS of the compiler, LINK: words for the linker
.PHONY: module
module: $(NAME).copied

include $(LISTS)/$(NAME).mk
CONFIG = $(API)
include $(dir $(firstword $(MAKEFILE_LIST)))common.mk
CXXFLAGS = $(filter-out -std=gnu11,$(CFLAGS))
$(NAME).FLAGS = $(FLAGS)
# (of names that headers define themselves)
$(NAME).LIBS := $(filter-out -lwbemuuid,$($(NAME).LIBS))
DynamicLibrary = -shared
Application = -municode -Wl,--subsystem,$($(NAME).SUBSYSTEM)
WITH = $(LINK) $(API)/$(DLL).lib $($(NAME).LIBDIRS) $(addprefix -Wl$(comma)-Xlink=-export:,$($(NAME).EXPORTS))

%.o: ../%.cpp
	$(CXX) -c $(CXXFLAGS) $(FLAGS) -o $@ $<

$(NAME).linked: $($(NAME).OBJECTS) $(filter %.o,$(LINK))
	mkdir -p $(OUT)/libs
	$(call link,$(NAME),$($($(NAME).TYPE)),$($(NAME).OBJECTS) $(wildcard $(RES)/$(NAME).res) $(WITH))

# A launcher of a debug build also has the name that venv looks for when python.exe makes the environment.
$(NAME).copied: $(NAME).linked
	$(call copies,$($(NAME).TARGET),$(call plain,$($(NAME).TARGET)))
