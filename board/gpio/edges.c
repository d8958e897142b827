// SPDX-License-Identifier: MIT OR GPL-2.0
// The kernel's irq_sim, for a module: the kernel exports no irq_to_desc, and this is the same descriptor.

#include <linux/irq.h>
#include <linux/irqdesc.h>

#define irq_to_desc(irq) irq_data_to_desc(irq_get_irq_data(irq))
#include "irq_sim.c"
