/** Words that a later part of the kernel brings. */
export const LATER: Readonly<Record<string, string>> = {
  memfd_create: 'memfd_create(2) by its own name (there is memfd)',
  signal: 'signals between litmus threads',
  kill: 'signals between litmus threads',
  clone: 'clone(2) in litmus tests (there is fork)',
  clone3: 'clone3(2) in litmus tests (there is fork)',
  execve: 'execve(2) in litmus tests',
  exit_group: 'exit_group(2) in litmus tests (there is exit, in a child)',
  rt_sigreturn: 'signal handlers in litmus tests',
  rt_sigsuspend: 'signal handlers in litmus tests',
  tgkill: 'signals between litmus threads',
  tkill: 'signals between litmus threads',
  wait4: 'wait4(2) in litmus tests',
  brk: 'brk(2) in litmus tests (there is map)',
};
