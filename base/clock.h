/* base/clock.h - the only way to ask the time.
 *
 * Everything that waits holds an absolute deadline in nanoseconds of CLOCK_MONOTONIC; a wall-clock step moves nothing.  Unit
 * tests replace the source with clock_fake(). */
#pragma once

#include <stdint.h>

#define NS_PER_US 1000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_S  1000000000ULL

#define CLOCK_NEVER UINT64_MAX /* a deadline that does not come */

/* CLOCK_MONOTONIC, or the time that is held, or the fake time where one is set. */
uint64_t clock_now_ns(void);

/* From now on clock_now_ns() says the present time without asking again, until the next clock_hold() or clock_release(): an event loop
 * gives each callback one time.  For programs of one thread. */
void clock_hold(void);
void clock_release(void);

/* CLOCK_REALTIME in nanoseconds since the epoch: for what people and logs read, never for a deadline. */
uint64_t clock_wall_ns(void);

/* now + span, stopping at CLOCK_NEVER instead of wrapping. */
uint64_t clock_after_ns(uint64_t now_ns, uint64_t span_ns);

/* Milliseconds until `deadline_ns`, rounded up so that a timer never fires early; 0 when it is past. */
uint64_t clock_until_ms(uint64_t now_ns, uint64_t deadline_ns);

/* For tests: freeze both clocks at `now_ns`; 0 returns to the real ones. */
void clock_fake(uint64_t now_ns);
