/* tools/load/watch.h - what other processes spend while the load runs.
 *
 * CPU time comes from /proc/PID/task/TID/schedstat (nanoseconds) and, where the kernel has none, from /proc/PID/stat (ticks of
 * 10 ms); the split into user and system is always that of stat.  RSS comes from smaps_rollup, because VmRSS is kept per CPU and
 * may be off by a megabyte. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct watch_state {
	uint64_t cpu_ns;
	uint64_t wait_ns; /* ready to run, but others had the core: 0 where there is no schedstat */
	uint64_t user_ns;
	uint64_t system_ns;
	uint64_t rss_bytes;
};

/* What `pid` has spent and holds now; all zero when it does not exist or may not be looked at. */
struct watch_state watch_take(pid_t pid);
