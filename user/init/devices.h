/*
 * Which devices the machine has that a service could be started for.
 */
#ifndef USER_INIT_DEVICES_H
#define USER_INIT_DEVICES_H

enum device { DEVICE_NONE, DEVICE_ANY, DEVICE_DISK, DEVICE_ENTROPY };

/* Bits, 1 << enum device. DEVICE_ANY: one of the others. `authority`: with RIGHT_DEVICES. */
unsigned devices_present(int authority);

#endif
