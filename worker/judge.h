/* worker/judge.h - is an instance that answers its control routes able to produce a token?  Pure.
 *
 * A one-token test tells, but it costs: it takes a place for a moment and throws away the prefix a runner keeps of the user's
 * conversation.  So a busy instance is judged by its traffic and by the CPU time of its runners, a used one is left alone until it
 * has been quiet for a while, and a test costs at most a twentieth of the time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct judge_facts {
	uint64_t now_ns;
	uint64_t in_flight;                  /* of all routers */
	uint64_t fail_streak;                /* the longest of the routers: failures since the last success */
	uint64_t failed_ns;                  /* when a failure count last moved; 0 never */
	uint64_t used_ns;                    /* last request sent to it; 0 never */
	uint64_t moved_ns;                   /* since then something is in flight and no answer ended */
	uint64_t proof_ns;                   /* last token seen: a test, or an answer that ended well */
	uint64_t tried_ns;                   /* last test begun */
	uint64_t pinged_ns;                  /* last JUDGE_PING begun */
	uint64_t took_ns;                    /* last test */
	bool runners_known;                  /* the next one is worth something */
	uint64_t runners_idle_since_ns;      /* struct judge_work */
	uint64_t probe_ns, able_ns, warm_ns; /* configuration */
};

enum judge_verdict {
	JUDGE_FINE = 0,
	JUDGE_TRY,    /* ask for one token */
	JUDGE_PING,   /* send an empty request: a sound runner answers it at once, however busy; a stopped one never */
	JUDGE_WEDGED, /* no more questions */
	JUDGE_COUNT
};

enum judge_verdict judge_able(const struct judge_facts *f);

/* Do the runners work?  The kernel counts CPU time in ticks of 10 ms, and an idle runner's wake-ups make up one now and then: a
 * single tick tells nothing. */
struct judge_work {
	uint64_t idle_since_ns;    /* they used next to no CPU time since */
	uint64_t since_ns, cpu_ns; /* the present span of watching: its begin, and what they had used then */
	bool known;                /* they can be watched */
};

/* What they have used by now, together; often.  Without runners nothing is known. */
void judge_work_take(struct judge_work *k, unsigned runners, uint64_t cpu_ns, uint64_t now_ns);

/* Requests wait inside a busy instance, and no answer of their model begins. */
struct judge_wait {
	uint64_t now_ns;
	uint64_t since_ns; /* the first of them was overdue */
	uint64_t able_ns;
	uint64_t idle_since_ns; /* struct judge_work */
	unsigned runners;       /* that can be watched; 0: none, and the line above says nothing */
	bool whole;             /* they want their answers in one piece: a long one looks the same from outside */
};

/* Is it time to suspect that they wait in vain?  At once where the runners can be seen to do nothing; where they cannot, or where
 * another model's may be at work, after a longer time. */
bool judge_wait(const struct judge_wait *f);
