/** System V shared memory. @linux include/uapi/linux/ipc.h, include/uapi/linux/shm.h */

export const IPC_PRIVATE = 0;
export const IPC_CREAT = 0o1000;
export const IPC_EXCL = 0o2000;
export const IPC_RMID = 0;
export const IPC_STAT = 2;

export const SHM_HUGETLB = 0o4000;
export const SHM_NORESERVE = 0o10000;

export const SHM_RDONLY = 0o10000;
export const SHM_RND = 0o20000;
export const SHM_REMAP = 0o40000;
export const SHM_EXEC = 0o100000;
export const SHM_INFO = 14;
