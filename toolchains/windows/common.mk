# Of all projects of CPython for Windows. Integers wrap and any type may alias, as with MSVC, the only compiler that these sources knew. What
# they do as MSVC allows is no error; an unknown function is.
OPT = -O3
CFLAGS = $(OPT) -gcodeview -std=gnu11 -fwrapv -fno-strict-aliasing -Wno-everything -Werror=implicit-function-declaration -Werror=int-conversion -I$(CONFIG)
comma = ,

# copies NAME OTHERS: more names of a program, those that are not its own
copies = $(foreach other,$(filter-out $(1),$(sort $(2))),cp $(OUT)/full/$(1) $(OUT)/full/$(other) && cp $(OUT)/stripped/$(1) $(OUT)/stripped/$(other) &&) touch $@
plain = $(1:_d.exe=.exe)

# how a file is loaded, as its project has it: without a start of its own, and with libraries that wait until one of them is called
loading = $(if $($(1).NOENTRY),-Wl$(comma)--entry=) $(addprefix -Wl$(comma)-Xlink=-delayload:,$($(1).DELAYLOAD))
# link NAME FLAGS INPUTS: the file alone, and with its PDB beside it
link = mkdir -p $(OUT)/full $(OUT)/stripped && \
    $(CC) $(2) $(loading) -s -Wl,--pdb= -o $(OUT)/full/$($(1).TARGET) $(3) $($(1).LIBS) && \
    cp $(OUT)/full/$($(1).TARGET) $(OUT)/stripped/ && touch $@
