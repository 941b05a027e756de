/* Misbehaviour on command. */
#include "tools/sim/sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char *const kinds[FAULT_COUNT] = {
	[FAULT_SLOW] = "slow",
	[FAULT_HANG_BEFORE] = "hang-before",
	[FAULT_HANG_STREAM] = "hang-stream",
	[FAULT_CUT] = "cut",
	[FAULT_RESET] = "reset",
	[FAULT_CRASH_STREAM] = "crash-stream",
	[FAULT_CRASH_LOAD] = "crash-load",
	[FAULT_HANG_LOAD] = "hang-load",
	[FAULT_STALL_LOAD] = "stall-load",
	[FAULT_BUSY] = "busy",
	[FAULT_ERROR] = "error",
	[FAULT_GARBAGE] = "garbage",
	[FAULT_EXIT] = "exit",
	[FAULT_WEDGE] = "wedge",
	[FAULT_HANG_ALL] = "hang-all",
	[FAULT_LOSE_PLACE] = "lose-place",
};

static enum sim_fault_kind kind_find(struct span name)
{
	for (int i = 1; i < FAULT_COUNT; i++)
		if (span_eq(name, span_of(kinds[i])))
			return (enum sim_fault_kind)i;
	return FAULT_NONE;
}

/* Is a fault that names `model` meant for the model that the client calls `text`? */
static bool model_matches(const char *model, struct span text)
{
	struct sim_name a;
	struct sim_name b;

	if (!model[0])
		return true;
	return sim_name_parse(span_of(model), &a) && sim_name_parse(text, &b) && sim_name_same(&a, &b);
}

static void runner_strike(struct sim_runner *r, const struct sim_fault *f)
{
	if (f->kind == FAULT_WEDGE)
		sim_sched_wedge(r, true);
	else if (f->left < r->slots - r->slots_lost)
		r->slots_lost += f->left;
	else
		r->slots_lost = r->slots;
}

/* What happens to the runners themselves, at once. */
static void runners_strike(struct sim_inst *in, const struct sim_fault *f)
{
	struct sim_runner *r;
	char name[SIM_NAME_BYTES];

	TAILQ_FOREACH(r, &in->runners, link)
	{
		sim_name_display(&r->name, name, sizeof(name));
		if (model_matches(f->model, span_of(name)))
			runner_strike(r, f);
	}
}

int sim_fault_add(struct sim_inst *in, const struct json *spec, struct why *why)
{
	struct sim_fault *f;
	enum sim_fault_kind kind = kind_find(json_get_text(spec, "kind"));
	bool at_once = !json_get(spec, "after_chunks");
	int64_t count = json_get_i64(spec, "count", 1);
	struct buf known = {0};
	int err;

	if (!kind) {
		for (int i = 1; i < FAULT_COUNT; i++)
			buf_printf(&known, " %s", kinds[i]);
		buf_put(&known, "", 1);
		err = why_set(why, -EINVAL, "\"kind\" must be one of:%s", known.p);
		buf_fini(&known);
		return err;
	}
	f = sim_alloc(sizeof(*f));
	f->kind = kind;
	span_copy(f->model, sizeof(f->model), json_get_text(spec, "model"));
	span_copy(f->route, sizeof(f->route), json_get_text(spec, "route"));
	span_copy(f->message, sizeof(f->message), json_get_text(spec, "message"));
	f->after = (uint32_t)json_get_i64(spec, "after_chunks", 0);
	f->left = count <= 0 ? UINT32_MAX : (uint32_t)count;
	f->delay_ns = (uint64_t)json_get_i64(spec, "delay_ms", 0) * NS_PER_MS;
	f->status = (int)json_get_i64(spec, "status", 500);
	if (kind == FAULT_HANG_ALL || kind == FAULT_LOSE_PLACE || (kind == FAULT_WEDGE && at_once)) {
		if (kind == FAULT_HANG_ALL)
			in->hang_all = true;
		else
			runners_strike(in, f);
		free(f);
		return 0;
	}
	TAILQ_INSERT_TAIL(&in->faults, f, link);
	return 0;
}

/* "kind=cut,after_chunks=4,model=x": numbers stay numbers, everything else is text. */
int sim_fault_add_text(struct sim_inst *in, const char *spec, struct why *why)
{
	struct buf b = {0};
	struct arena a = {0};
	struct json *j;
	int err;

	buf_lit(&b, "{");
	while (*spec) {
		size_t n = strcspn(spec, ",");
		size_t key = strcspn(spec, "=");

		if (key >= n) {
			buf_fini(&b);
			return why_set(why, -EINVAL, "\"%.*s\" in a fault needs the form key=value", (int)n, spec);
		}
		buf_json(&b, (struct span){spec, key});
		buf_lit(&b, ":");
		if (strspn(spec + key + 1, "0123456789") == n - key - 1)
			buf_put(&b, spec + key + 1, n - key - 1);
		else
			buf_json(&b, (struct span){spec + key + 1, n - key - 1});
		spec += n;
		if (*spec == ',') {
			spec++;
			buf_lit(&b, ",");
		}
	}
	buf_lit(&b, "}");
	err = json_parse(&a, buf_view(&b), &j, why);
	if (!err)
		err = sim_fault_add(in, j, why);
	arena_fini(&a);
	buf_fini(&b);
	return err;
}

/* One strike less. */
static void fault_use(struct sim_inst *in, struct sim_fault *f)
{
	if (f->left == UINT32_MAX || --f->left)
		return;
	TAILQ_REMOVE(&in->faults, f, link);
	free(f);
}

static bool strikes_load(const struct sim_fault *f)
{
	return f->kind == FAULT_CRASH_LOAD || f->kind == FAULT_HANG_LOAD || f->kind == FAULT_STALL_LOAD;
}

static bool fault_matches(const struct sim_fault *f, const struct sim_ex *ex, struct span model)
{
	struct span path = ex->head.path;

	if (strikes_load(f))
		return false;
	if (f->route[0])
		return path.n >= strlen(f->route) && !memcmp(path.p, f->route, strlen(f->route)) && model_matches(f->model, model);
	return ex->route->inference && model_matches(f->model, model);
}

static void strike_late(struct sim_ex *ex);

/* The fault is all the answer there is. */
static void strike_now(struct sim_ex *ex)
{
	struct sim_conn *c = ex->conn;

	ex->wait = WAIT_NONE;
	switch (ex->fault->kind) {
	case FAULT_BUSY:
		sim_ex_fail(ex, 503, "server busy, please try again.  maximum pending requests exceeded");
		return;
	case FAULT_ERROR:
		sim_ex_fail(ex, ex->fault->status, ex->fault->message[0] ? ex->fault->message : "simulated error");
		return;
	case FAULT_GARBAGE:
		buf_lit(&c->out, "\x01\x02 this is not HTTP \xff\xfe\r\n\r\n");
		sim_conn_send(c);
		sim_conn_abort(c, false);
		return;
	case FAULT_RESET:
	case FAULT_CUT:
		sim_conn_abort(c, ex->fault->kind == FAULT_RESET);
		return;
	case FAULT_EXIT:
		_exit(1);
	default:
		ex->wait = WAIT_SILENT;
	}
}

static void strike_late(struct sim_ex *ex)
{
	strike_now(ex);
	if (ex->conn->state != CONN_DEAD)
		sim_conn_send(ex->conn);
}

static bool strikes_before(const struct sim_fault *f)
{
	switch (f->kind) {
	case FAULT_BUSY:
	case FAULT_ERROR:
	case FAULT_GARBAGE:
	case FAULT_HANG_BEFORE:
		return true;
	case FAULT_RESET:
	case FAULT_CUT:
	case FAULT_EXIT:
		return !f->after;
	default:
		return false;
	}
}

bool sim_fault_strike(struct sim_ex *ex)
{
	struct sim_inst *in = ex->in;
	struct sim_fault *f;
	struct json *j = NULL;
	struct why why;

	if (TAILQ_EMPTY(&in->faults))
		return false;
	if (ex->route->body == BODY_JSON)
		json_parse(&ex->arena, ex->body, &j, &why);
	TAILQ_FOREACH(f, &in->faults, link)
	if (fault_matches(f, ex, json_get_text(j, "model")))
		break;
	if (!f)
		return false;
	ex->fault = arena_alloc(&ex->arena, sizeof(*f));
	*ex->fault = *f;
	ex->fault_after = f->after;
	fault_use(in, f);
	ex->stream = json_get_bool(j, "stream", ex->dialect == &dialect_generate || ex->dialect == &dialect_chat);
	if (!strikes_before(ex->fault))
		return false;
	if (ex->fault->delay_ns) {
		ex->wait = WAIT_TIMER;
		sim_ex_timer(ex, clock_after_ns(clock_now_ns(), ex->fault->delay_ns), strike_late);
	} else {
		strike_now(ex);
	}
	return true;
}

bool sim_fault_at_item(struct sim_ex *ex)
{
	struct sim_conn *c = ex->conn;

	if (ex->fault_stuck)
		return true;
	if (ex->gen.emitted != ex->fault_after)
		return false;
	switch (ex->fault->kind) {
	case FAULT_HANG_STREAM:
		ex->fault_stuck = true;
		sim_ex_timer_stop(ex);
		sim_conn_send(c);
		return true;
	case FAULT_CUT:
	case FAULT_RESET:
		sim_conn_send(c);
		sim_conn_abort(c, ex->fault->kind == FAULT_RESET);
		return true;
	case FAULT_EXIT:
		sim_conn_send(c);
		_exit(1);
	case FAULT_CRASH_STREAM:
		sim_sched_crash(ex->runner);
		return true;
	case FAULT_WEDGE:
		sim_conn_send(c);
		ex->fault = NULL;
		sim_sched_wedge(ex->runner, true);
		return true;
	default:
		return false;
	}
}

bool sim_fault_at_load(struct sim_inst *in, const struct sim_model_conf *m, struct sim_fault *out)
{
	struct sim_fault *f;

	TAILQ_FOREACH(f, &in->faults, link)
	{
		if (!strikes_load(f) || !model_matches(f->model, span_of(m->name)))
			continue;
		*out = *f;
		fault_use(in, f);
		return true;
	}
	return false;
}

void sim_fault_clear(struct sim_inst *in)
{
	struct sim_fault *f;
	struct sim_runner *r;

	while ((f = TAILQ_FIRST(&in->faults))) {
		TAILQ_REMOVE(&in->faults, f, link);
		free(f);
	}
	in->hang_all = false;
	TAILQ_FOREACH(r, &in->runners, link)
	if (r->wedged && r->state == RUNNER_READY && !r->pid)
		sim_sched_wedge(r, false);
}

void sim_fault_release(struct sim_inst *in)
{
	struct sim_runner *r;
	struct sim_ex *ex;

	TAILQ_FOREACH(r, &in->runners, link)
	TAILQ_FOREACH(ex, &r->admitted, rlink)
	{
		if (!ex->fault_stuck)
			continue;
		ex->fault_stuck = false;
		ex->fault = NULL;
		sim_ex_timer(ex, clock_now_ns(), sim_gen_resume);
	}
}
