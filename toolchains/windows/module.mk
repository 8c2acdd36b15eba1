# One extension module of CPython for Windows: project NAME, listed in LISTS/NAME.mk.
# SRC: CPython's tree, CORE (core.mk's include/ and libs/), RES (NAME.res, of resources.mk), OUT
.PHONY: module
module: $(NAME).linked

include $(LISTS)/$(NAME).mk
CONFIG = $(CORE)/include
include $(dir $(firstword $(MAKEFILE_LIST)))common.mk

$(NAME).linked: $($(NAME).OBJECTS)
	$(call link,$(NAME),-shared,$^ $(RES)/$(NAME).res $(wildcard $(CORE)/libs/python3??.lib))
