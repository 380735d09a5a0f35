/* What the standard library asks of an unwinder, for a program that never unwinds: a panic prints its message and place, then
 * aborts. Only RUST_BACKTRACE=1 would walk the stack, and a stripped binary without unwind tables has nothing to say there.
 * Instead of zig's libunwind: 50 KB less. deploy/zig-cc links it. */

/* _URC_END_OF_STACK. */
int _Unwind_Backtrace(void *trace, void *argument) { (void)trace; (void)argument; return 5; }
unsigned long _Unwind_GetIP(void *context) { (void)context; return 0; }
unsigned long _Unwind_GetIPInfo(void *context, int *before) { (void)context; *before = 0; return 0; }
unsigned long _Unwind_GetCFA(void *context) { (void)context; return 0; }
void *_Unwind_FindEnclosingFunction(void *pc) { return pc; }
/* ARM's way to ask for a register: _UVRSR_NOT_IMPLEMENTED. */
int _Unwind_VRS_Get(void *context, int class, int number, int form, void *value)
{ (void)context; (void)class; (void)number; (void)form; (void)value; return 1; }
