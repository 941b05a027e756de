/* `routing` and the models' rules to a router's message: flat copies, nothing decided. */
#include "supervisor/supervisor.h"

#include <stdio.h>
#include <string.h>

_Static_assert(PROC_RULES >= CONF_RULES && PROC_HEADERS >= CONF_HEADERS && PROC_TAGS >= CONF_TAGS * 32, "what is configured fits");
_Static_assert((int)PROC_SELECT_ROUND_ROBIN == (int)CONF_SELECT_ROUND_ROBIN && (int)PROC_SELECT_BASIC == (int)CONF_SELECT_BASIC,
	       "one order of the ways to select");
_Static_assert((int)PROC_RELOAD_DEFAULT == (int)CONF_RELOAD_DEFAULT && (int)PROC_RELOAD_REFUSE == (int)CONF_RELOAD_REFUSE,
	       "one order of the policies");

static struct proc_class class_of(const struct conf_class *c, uint64_t queue_ns)
{
	return (struct proc_class){.wait_ns = c->wait_ns ? c->wait_ns : queue_ns, .handicap_ns = c->handicap_ns, .share = c->share};
}

static void rule_copy(const struct conf_rule *from, struct proc_rule *to)
{
	to->reload = from->reload;
	to->automatic = from->automatic;
	to->reasoning = from->reasoning;
	to->n_categories = from->n_categories;
	snprintf(to->model, sizeof(to->model), "%s", from->name);
	snprintf(to->registry, sizeof(to->registry), "%s", from->registry);
	for (unsigned i = 0; i < from->n_categories; i++)
		snprintf(to->categories[i], sizeof(to->categories[i]), "%s", from->categories[i]);
}

static void automatic_copy(const struct conf_routing *from, struct proc_automatic *to)
{
	to->on = from->automatic.on;
	to->complexity = from->automatic.complexity;
	to->confidence = from->automatic.confidence;
	to->reasoning_share = from->automatic.reasoning_share;
	to->window = from->automatic.window;
	to->hook_ns = from->automatic.hook_ns;
	if (from->automatic.hook.addr.len)
		sup_handoff_addr(&from->automatic.hook.addr, &to->hook);
	snprintf(to->hook_path, sizeof(to->hook_path), "%s", from->automatic.hook.path);
	to->base = from->scores.base;
	to->benchmarks = from->scores.benchmarks;
	to->only = from->scores.only;
	to->first = from->scores.first;
	to->other = from->scores.other;
	to->unlisted = from->scores.unlisted;
	to->n_weights = from->scores.n_weights;
	for (unsigned i = 0; i < from->scores.n_weights; i++) {
		to->weights[i].weight = from->scores.weights[i].weight;
		snprintf(to->weights[i].name, sizeof(to->weights[i].name), "%s", from->scores.weights[i].name);
	}
	snprintf(to->registry, sizeof(to->registry), "%s", from->registry);
	snprintf(to->categories, sizeof(to->categories), "%s", from->categories);
	snprintf(to->classifier, sizeof(to->classifier), "%s", from->classifier);
}

static void health_copy(const struct conf_routing *from, struct proc_routing *to)
{
	to->slow_p95_ns = from->slow.p95_ns;
	to->slow_forget_ns = from->slow.forget_ns;
	to->slow_back = from->slow.back;
	to->slow_answers = from->slow.answers;
	to->breaker_failures = from->breaker.failures;
	to->breaker_pause_ns = from->breaker.pause_ns;
	to->breaker_longest_ns = from->breaker.longest_ns;
	to->breaker_trial_ns = from->breaker.trial_ns;
	to->retries_share = from->retries.share;
	to->retries_per_s = from->retries.per_second;
	to->retries_most = from->retries.most;
}

static void wait_copy(const struct conf *conf, struct proc_routing *to)
{
	const struct conf_routing *from = &conf->routing;

	to->wait_bytes = from->wait.bytes;
	to->wait_tenant = from->wait.tenant;
	to->wait_work_ns = from->wait.work_ns;
	to->gamma = from->wait.gamma;
	to->prompt_weight = from->wait.prompt_weight;
	to->answer_weight = from->wait.answer_weight;
	to->slack = from->wait.slack;
	to->interactive = class_of(&from->wait.interactive, conf->queue_ns);
	to->normal = class_of(&from->wait.normal, conf->queue_ns);
	to->batch = class_of(&from->wait.batch, conf->queue_ns);
}

void sup_handoff_routing(const struct conf *conf, struct proc_routing *to)
{
	const struct conf_routing *from = &conf->routing;

	to->selection = from->selection;
	to->gpu_awareness = from->gpu_awareness;
	to->multi_category = from->multi_category;
	to->probe_every = from->probe_every;
	to->near = from->near;
	to->hot = from->hot;
	to->hold = from->hold;
	to->spread_ns = from->spread_ns;
	to->keepalive_ns = from->keepalive_ns;
	to->stale_ns = from->stale_ns;
	to->reload = from->reload;
	to->weight[PROC_TERM_LATENCY] = from->weights.latency;
	to->weight[PROC_TERM_QUEUE] = from->weights.queue;
	to->weight[PROC_TERM_FIT] = from->weights.fit;
	to->weight[PROC_TERM_HEALTH] = from->weights.health;
	to->weight[PROC_TERM_FEEDBACK] = from->weights.feedback;
	to->weight[PROC_TERM_COMPLETION] = from->weights.completion;
	to->weight[PROC_TERM_AFFINITY] = from->weights.affinity;
	to->weight[PROC_TERM_MEMORY] = from->weights.memory;
	health_copy(from, to);
	to->affinity = from->affinity.on;
	to->affinity_age_ns = from->affinity.age_ns;
	to->affinity_entries = from->affinity.entries;
	to->n_headers = from->affinity.n_headers;
	for (unsigned i = 0; i < from->affinity.n_headers; i++)
		snprintf(to->headers[i], sizeof(to->headers[i]), "%s", from->affinity.headers[i]);
	wait_copy(conf, to);
	automatic_copy(from, &to->automatic);
	to->n_rules = conf->n_rules;
	for (unsigned i = 0; i < conf->n_rules; i++)
		rule_copy(&conf->rules[i], &to->rules[i]);
}
