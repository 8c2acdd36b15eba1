/* The two calls of Apple's <mach/mach_vm.h> that _testexternalinspection makes; prototypes as in xnu osfmk/mach/mach_vm.defs. */
#ifndef _FS_MACH_MACH_VM_H_
#define _FS_MACH_MACH_VM_H_

#include <mach/mach_types.h>
#include <sys/cdefs.h>

__BEGIN_DECLS
kern_return_t mach_vm_read_overwrite(vm_map_read_t, mach_vm_address_t, mach_vm_size_t, mach_vm_address_t, mach_vm_size_t *);
kern_return_t mach_vm_region(
    vm_map_read_t, mach_vm_address_t *, mach_vm_size_t *, vm_region_flavor_t, vm_region_info_t, mach_msg_type_number_t *, mach_port_t *);
__END_DECLS

#endif
