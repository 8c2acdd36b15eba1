# Resources of CPython's projects for Windows (PROJECTS, listed in LISTS/*.mk).
include $(foreach name,$(PROJECTS),$(LISTS)/$(name).mk)
.PHONY: resources
resources: $(foreach name,$(PROJECTS),$(if $($(name).RESOURCES),$(OUT)/$(name).res))
.DEFAULT_GOAL := resources

# Preprocessed apart, by the compiler of all the rest (what headers declare is known by #line, and left out). Scripts name their files as Windows does.
$(OUT)/%.res:
	mkdir -p $(OUT) tmp
	sed '/ICON/s/\\/\//' $(SRC)/$($*.RESOURCES) > tmp/$*.rc
	$(CC) -E -x c -fuse-line-directives -DRC_INVOKED $($*.RCFLAGS) tmp/$*.rc > tmp/$*.i
	rc /i $(SRC)/PC /fo $@ tmp/$*.i
