/* route/pick.h - which instance, for one request.  Pure: facts in, decision with its reason out; no socket, clock or board.
 *
 * The rule: of the instances that have the model, are ready and did not just fail this request, one that holds it in memory and has
 * a place free; the least loaded, ties in turn.  If every such place is taken: wait.  If none holds it in memory: have the least
 * loaded one load it, and wait for that. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What is known of one instance with respect to one request. */
struct pick_slot {
	bool has;      /* the model is in its store */
	bool resident; /* the model is in memory and has answered */
	bool loading;  /* its worker is loading the model */
	bool failed;   /* its last load of the model failed */
	bool ready;    /* life state READY and wanted to run */
	bool coming;   /* not ready now, but its worker is at it */
	bool avoid;    /* failed this request, or failing just now */
	unsigned places;
	unsigned in_flight;
};

enum pick_verdict {
	PICK_NONE = 0,
	PICK_TAKE,    /* slot: send it there now */
	PICK_WAIT,    /* slot: where it would go; all places are taken */
	PICK_LOAD,    /* slot: should load the model */
	PICK_LOADING, /* slot: loads the model already */
	PICK_SOON,    /* an instance that has it is not ready yet */
	PICK_FAILED,  /* every instance that has it failed to load it */
	PICK_NEVER,   /* instances that have it are stopped, drained or quarantined */
	PICK_UNKNOWN, /* no instance has the model */
};

/* Why a slot was taken: for X-TSA-Route-Reason and tsactl. */
enum pick_reason { REASON_NONE = 0, REASON_ONLY, REASON_LEAST, REASON_TURN, REASON_COUNT };

struct pick_result {
	enum pick_verdict verdict;
	enum pick_reason reason;
	unsigned slot; /* valid with TAKE, WAIT, LOAD, LOADING */
};

/* `turn` is any number that grows by one with every decision. */
struct pick_result pick(const struct pick_slot *slots, unsigned n, unsigned turn);

const char *pick_reason_text(enum pick_reason reason);
