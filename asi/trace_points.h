/*
 * The functions that are traced: a branch to f leads to traced_f (asi/trace_points.c) with trace=on. tools/tracepoints
 * reads this list and finds the branches in the linked kernel.
 *
 * X(function, branches at least): fewer would mean that the compiler has inlined it somewhere, and that the trace has a
 * hole (tests/trace).
 */
#ifndef ASI_TRACE_POINTS_H
#define ASI_TRACE_POINTS_H

#define TRACE_POINTS(X)                                                                                                \
    X(syscall_dispatch, 1)                                                                                             \
    X(trap_dispatch, 2)                                                                                                \
    X(trap_dispatch_nested, 1)                                                                                         \
    X(thread_first_run, 1)                                                                                             \
    X(asi_leave, 3)                                                                                                    \
    X(asi_physmap_fault, 1)                                                                                            \
    X(asi_prepare_return, 1)                                                                                           \
    X(transition_exit, 1)                                                                                              \
    X(transition_flush, 1)                                                                                             \
    X(transition_load, 3)                                                                                              \
    X(context_switch, 1)                                                                                               \
    X(context_die, 1)                                                                                                  \
    X(ephmap_map_window, 8)                                                                                            \
    X(ephmap_scratch, 40)                                                                                              \
    X(ephmap_scratch_put, 40)                                                                                          \
    X(ephmap_scrub, 4)                                                                                                 \
    X(ephmap_copy_frame, 1)                                                                                            \
    X(view_set_revoke, 1)                                                                                              \
    X(ephmap_revoke_frame, 2)                                                                                          \
    X(copy_to_user_held, 4)                                                                                            \
    X(copy_from_user_held, 4)                                                                                          \
    X(call_send, 2)                                                                                                    \
    X(call_receive, 1)                                                                                                 \
    X(call_receive_wait, 1)                                                                                            \
    X(call_answer, 1)                                                                                                  \
    X(call_refuse, 1)                                                                                                  \
    X(call_directly, 1)                                                                                                \
    X(call_answer_directly, 1)

#endif
