/* tools/sim/conf.h - what the command line, the environment and the profiles say, and the names of models. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/why.h"

#define SIM_FOREVER    INT64_MAX /* keep_alive "for ever", ns */
#define SIM_NAME_BYTES 600

enum sim_answers {
	ANSWERS_WORDS = 0, /* tok0 tok1 ... */
	ANSWERS_SCRIPT,    /* the prompt's last <|marker|> chooses */
	ANSWERS_THINK,     /* a scripted thought and answer */
	ANSWERS_TOOL,      /* a scripted tool call when tools are given */
	ANSWERS_SYLLABLES, /* thirty syllables */
	ANSWERS_COUNT
};

enum sim_tokenizer {
	TOKENS_BYTES = 0, /* one per so many bytes */
	TOKENS_SYLLABLES, /* the toy models of the recordings (toy.c) */
	TOKENS_SCRIPT,
	TOKENS_PIECES,
	TOKENS_COUNT
};

/* What a model is; several names can share one weights file. */
struct sim_model_conf {
	char name[SIM_NAME_BYTES];
	char weights[65]; /* sha256 of the weights file, hex: the key of a runner */
	char parent[128]; /* details.parent_model when it is not the weights file itself */
	char family[32];
	char parameter_size[16];
	char quantization[16];
	char template[1024];
	char system[256];
	char parameters[512]; /* lines of "key value", as /api/create keeps them */
	uint64_t size_bytes;  /* in /api/tags */
	uint64_t ram_bytes;   /* in /api/ps; 0 = size_bytes */
	uint64_t vram_bytes;
	uint64_t load_ns;
	uint64_t prefill_per_s; /* tokens; 0 = at once */
	uint64_t decode_per_s;  /* tokens; 0 = at once */
	uint32_t ctx_trained;
	uint32_t num_ctx;     /* PARAMETER num_ctx; 0 = none */
	uint32_t dim;         /* of embeddings */
	uint32_t token_bytes; /* of a prompt, per token; 0 = 4 */
	uint32_t tokens;      /* length of an answer; 0 = the server's default */
	unsigned parallel;    /* slots; 0 = the server's number */
	enum sim_answers answers;
	enum sim_tokenizer tokenizer;
	uint32_t blocks; /* layers, for /api/show; with the next three */
	uint32_t ffn;
	uint32_t vocab;
	uint32_t weights_count;
	bool embed;
	bool tools;
	bool thinking;
	bool vision;
	bool insert;
	bool overlap; /* runs on the newer of the two old engines: loads overlap */
	bool broken;  /* manifest without weights */
};

struct sim_conf {
	char host[64];
	uint16_t port;
	unsigned ports;
	char version[32];
	bool new_generation;
	bool pull_fails;
	bool runners;  /* fork a real child per loaded model */
	bool profiled; /* a profile was named: no default models */
	bool overlap;  /* OLLAMA_NEW_ENGINE: every model on the engine whose loads overlap */
	bool log;      /* the log lines of a real server */
	bool quiet;
	unsigned parallel;
	unsigned max_queue;
	unsigned max_loaded;
	uint32_t ctx_default; /* OLLAMA_CONTEXT_LENGTH; 0 = automatic (4096) */
	int64_t keep_alive_ns;
	uint64_t ping_ns;         /* what the health ping of a resident runner takes: the leak window */
	uint64_t ping_timeout_ns; /* until a stopped runner is given up, per ping */
	uint64_t load_timeout_ns;
	uint64_t load_abort_ns; /* from the leaving of a load's owner to the next load */
	uint64_t hand_over_ns;  /* a stream closed so soon after an item keeps its slot for ever */
	uint64_t start_delay_ns; /* accepts connections, answers none */
	uint32_t tokens;         /* default answer length */
	size_t models_n;
	struct sim_model_conf *models;
	const char *origins; /* OLLAMA_ORIGINS: comma list, or NULL */
	size_t faults_n;
	char **faults; /* specifications given by --fault */
};

extern struct sim_conf sim_conf;

/* Reads argv and the OLLAMA_* environment.  0; -EINVAL with a sentence; 1 when --help or --version has been served. */
int sim_options_read(int argc, char **argv, struct sim_conf *out, struct why *why);
/* "NAME,size=2GB,load=300ms,..." appended to `conf`. */
int sim_options_model_add(struct sim_conf *conf, const char *text, struct why *why);
/* The models of a named profile. */
int sim_profile_add(struct sim_conf *conf, const char *name, struct why *why);

/* --- names (name.c) --------------------------------------------------------------------------------------------------- */

struct sim_name {
	char host[352];
	char ns[82];
	char model[82];
	char tag[82];
};

/* Parse and fill defaults.  False when it is not a name. */
bool sim_name_parse(struct span text, struct sim_name *out);
/* host/ns/model:tag */
void sim_name_full(const struct sim_name *n, char *out, size_t size);
/* The shortest form, always with a tag. */
void sim_name_display(const struct sim_name *n, char *out, size_t size);
/* Equal whatever the case of the letters. */
bool sim_name_same(const struct sim_name *a, const struct sim_name *b);

enum sim_source { SOURCE_LOCAL = 0, SOURCE_CLOUD, SOURCE_BOTH };

/* Strip ":local", recognise ":cloud" and "-cloud". */
enum sim_source sim_name_source(struct span text, struct span *stripped);
