# One static library from C files that need no configure.
# make -f archive.mk LIB=libx.a SRC=folder NAMES='a.c b.c' CFLAGS=...
OBJECTS = $(addsuffix .o,$(basename $(notdir $(NAMES))))
vpath %.c $(sort $(addprefix $(SRC)/,$(dir $(NAMES))))
vpath %.S $(sort $(addprefix $(SRC)/,$(dir $(NAMES))))

$(LIB): $(OBJECTS)
	$(AR) rcsD $@ $^

%.o: %.c
	$(CC) $(CFLAGS) -c $< -o $@

%.o: %.S
	$(CC) $(CFLAGS) -c $< -o $@
