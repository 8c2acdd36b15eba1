# One extension module of CPython for Windows, or a library beside it: project NAME, listed in LISTS/NAME.mk.
# SRC: CPython's tree, CORE (core.mk's include/ and libs/), RES (NAME.res, of resources.mk), OUT; FLAGS of the compiler, LINK: words for the linker
.PHONY: module
module: $(NAME).linked

include $(LISTS)/$(NAME).mk
CONFIG = $(CORE)/include
include $(dir $(firstword $(MAKEFILE_LIST)))common.mk
$(NAME).FLAGS = $(FLAGS)
WITH = $(LINK) $(wildcard $(CORE)/libs/python3??.lib) $($(NAME).LIBDIRS) $(addprefix -Xlink=-export:,$($(NAME).EXPORTS))

$(NAME).linked: $($(NAME).OBJECTS)
	mkdir -p $(OUT)/libs
	$(call link,$(NAME),-shared,$^ $(RES)/$(NAME).res $(WITH))
