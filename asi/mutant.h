/*
 * Deliberate breaks of the invariants, for `make mutants`: each is compiled in by its name (-DMUTANT_name=1) and never
 * otherwise; the build shows that a checker catches it. In a normal build mutant(name) is the constant false.
 *
 *   name                       breaks           by
 *   scratch_entry_stays        REACH            a scratch view's entry is left behind
 *   secret_as_global           REACH            file pages are allocated as GLOBAL
 *   window_survives_close      REVOKE           the last close clears no window
 *   window_survives_truncate   REVOKE           a page leaves its object, other processes keep their windows
 *   window_survives_eviction   REVOKE           a page that is forgotten leaves its windows behind
 *   shootdown_forgotten        REVOKE           other CPUs keep what was taken away. Two CPUs
 *   scrub_before_flush         REVOKE           a freed page is cleared while others may write to it. Two CPUs
 *   stranger_writes_by_view    LOGICAL-ACCESS   who may not read a pipe gets a view of others' bytes in it
 *   page_is_taken_for_own      LOGICAL-ACCESS   nobody asks whose bytes are in the page of a pipe
 *   grant_outlives_answer      LOGICAL-ACCESS   a pager may put bytes into a page that is its clients' by now
 *   read_ends_with_page        SAME             in mode asi a read never goes beyond one page
 *   fault_code_by_mode         SAME             in mode asi a forbidden page is reported as an absent one
 *   scrub_skipped              CLEAN            frames are freed as they are
 *   stack_left_dirty           CLEAN            a dying thread does not clear its stack (arch/transition.asm)
 *   return_unrestricted        GATE             ring 3 is entered without going back to the restricted space
 *   cr3_written_elsewhere      GATE             a CR3 write outside the transition code
 *   exit_without_control_flush FLUSH-CONTROL    asi_leave() pays nothing
 *   switch_without_control_flush FLUSH-CONTROL  a process switch pays no IBPB
 *   enter_without_data_flush   FLUSH-DATA       the way back to the restricted space pays no VERW
 *   switch_without_data_flush  FLUSH-DATA       a process switch pays no VERW
 *   one_way_trust_pays_nothing FLUSH-CONTROL    trust in one direction is taken for trust in both
 *   history_forgotten          FLUSH-DATA       a switch without a flush leaves no trace for the next (asi/trust.c)
 *   trust_change_unnoticed     FLUSH-CONTROL    trust is taken back, and CPUs go on by what they knew
 *   stale_tag                  REVOKE           a flush begins no generation, so tags know nothing of it. Debug build
 *   message_not_cleared        CLEAN            frames of messages are freed as they are
 *   fifo_not_cleared           CLEAN            what is unread in a FIFO is freed as it is by who may not read it
 *   command_line_to_all        LOGICAL-ACCESS   a command line is shown to whoever asks (kernel/command_line.c)
 *   command_line_not_cleared   CLEAN            its frames are freed as they are
 *   message_in_thread          RESIDUE          a word of a message is kept in struct thread while the call waits
 *   address_as_key             RESIDUE          a sleeper's user address lies in the futexes' table (kernel/futex.c)
 *   nested_trusts_gs           NEST             a nested exception leaves %gs as it needed it (arch/entry.asm)
 *   nested_leaves_root         NEST             … and classic's kernel root loaded (arch/entry.asm)
 *   nested_stack_shared        NEST             all of them have one stack
 *   nested_frame_stays         RESIDUE          … and leave the registers that they met on it (arch/entry.asm)
 *   nested_rsp_stays           RESIDUE          … or the user's stack pointer
 *   user_rsp_stays             RESIDUE          a system call leaves it in the CPU's page (arch/entry.asm)
 *   idle_keeps_registers       RESIDUE          idle, or a handler that faults, has what a thread left. Two CPUs
 *   trace_keeps_argument       RESIDUE          a record of the trace has a system call's argument. With trace=on
 */
#ifndef ASI_MUTANT_H
#define ASI_MUTANT_H

/* 1 where MUTANT_name is defined as 1, else 0: a list of arguments gains an element only if the macro has its value. */
#define MUTANT_FOUND_1                      0,
#define mutant(name)                        MUTANT_VALUE(MUTANT_##name)
#define MUTANT_VALUE(value)                 MUTANT_FOUND(value)
#define MUTANT_FOUND(value)                 MUTANT_LIST(MUTANT_FOUND_##value)
#define MUTANT_LIST(found)                  MUTANT_SECOND(found 1, 0, )
#define MUTANT_SECOND(ignored, second, ...) second

#endif
