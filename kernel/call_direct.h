/*
 * The short way of a short message: words alone, to a partner that waits on this CPU. They cross in registers, from the
 * sender's frame to the receiver's (arch/transition.asm); there is no parcel, and no queue.
 *
 * What cannot be done so has no effect and is done the long way (kernel/call.h), with the same outcome. Interrupts on;
 * no lock held; the caller has a reference on the endpoint.
 */
#ifndef KERNEL_CALL_DIRECT_H
#define KERNEL_CALL_DIRECT_H

#include <stdbool.h>
#include <stdint.h>

struct endpoint;
struct trap_frame;

/*
 * Makes the call that `frame` asks for. True: it was made, the server ran, and something has woken the caller: then
 * call_directly_answered() says whether the answer is in its frame and all is over; if not, call_wait() is next.
 */
bool call_directly(struct endpoint *endpoint, uint64_t badge, struct trap_frame *frame);
bool call_directly_answered(void);

/*
 * Answers the call that the thread received last, and waits for the next. True: it was answered, and something has
 * woken the server: then call_directly_received() says whether a call is in its frame (thread_current()->reception has
 * badge and token); if not, call_receive_wait() is next.
 */
bool call_answer_directly(struct endpoint *endpoint, struct trap_frame *frame);
bool call_directly_received(void);

#endif
