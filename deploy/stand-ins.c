/* Small functions instead of large ones from zig's libraries. deploy/zig-cc links them.
 *
 * What the standard library asks of an unwinder, for a program that never unwinds: a panic prints its message and place, then
 * aborts. Only RUST_BACKTRACE=1 would walk the stack, and a stripped binary without unwind tables has nothing to say there.
 * Instead of zig's libunwind: 50 KB less. */

/* _URC_END_OF_STACK. */
int _Unwind_Backtrace(void *trace, void *argument) { (void)trace; (void)argument; return 5; }
unsigned long _Unwind_GetIP(void *context) { (void)context; return 0; }
unsigned long _Unwind_GetIPInfo(void *context, int *before) { (void)context; *before = 0; return 0; }
unsigned long _Unwind_GetCFA(void *context) { (void)context; return 0; }
void *_Unwind_FindEnclosingFunction(void *pc) { return pc; }
/* ARM's way to ask for a register: _UVRSR_NOT_IMPLEMENTED. */
int _Unwind_VRS_Get(void *context, int class, int number, int form, void *value)
{ (void)context; (void)class; (void)number; (void)form; (void)value; return 1; }

/* Names the thread that asks: the standard library names no other. musl's function names any thread, and for the path of that in
 * /proc it needs printf, which nothing else in the program does: 16 KB less. */
int prctl(int option, ...);
/* 15: PR_SET_NAME; 22: EINVAL. */
int pthread_setname_np(void *thread, const char *name) { (void)thread; return prctl(15, name) == 0 ? 0 : 22; }
