# What kbuild makes in the folder DIR of the tree $(srctree), by the tree's own Makefile and the
# configuration in include/config/auto.conf of the folder that make works in. Prints a line of each:
#   y: objects of the kernel           m: a module's object, and the objects that it consists of
#   x: what is neither: host programs, linker scripts, and what else is made there
include $(srctree)/scripts/Kbuild.include
include include/config/auto.conf
obj := $(DIR)
src := $(srctree)/$(DIR)
obj-y :=
obj-m :=
lib-y :=
always-y :=
extra-y :=
targets :=
hostprogs :=
userprogs :=
include $(or $(wildcard $(src)/Kbuild),$(src)/Makefile)
# An object that consists of others has them in one of these (scripts/Makefile.lib, multi-search).
parts = $(or $(strip $($(1:.o=-objs)) $($(1:.o=-y)) $(if $(2),$($(1:.o=-m)))),$(1))
$(info y: $(foreach each,$(filter %.o,$(obj-y) $(lib-y)),$(each) $(call parts,$(each))))
$(foreach each,$(filter %.o,$(obj-m)),$(info m: $(each) $(call parts,$(each),m)))
$(info x: $(always-y) $(extra-y) $(targets) $(hostprogs) $(userprogs) \
	$(foreach each,$(hostprogs) $(userprogs),$($(each)-objs)))
.PHONY: none
none: ;
