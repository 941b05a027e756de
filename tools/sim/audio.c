/* /v1/audio/transcriptions, and the image routes of the old generation: streams inside, whose head leaves with the first token
 * and whose body, if it comes, comes at the end. */
#include "tools/sim/sim.h"

#include <stdio.h>
#include <string.h>

static void item_silent(struct sim_ex *ex, const struct sim_item *item)
{
	(void)item;
	if (ex->head_sent)
		return;
	resp_begin(ex, 200, "application/x-ndjson");
	resp_flush(ex);
}

static void finish_audio(struct sim_ex *ex, const struct sim_summary *sum)
{
	struct buf *b = &ex->scratch;

	b->n = 0;
	item_silent(ex, NULL);
	if (sum->done && ex->plain_text) {
		buf_span(b, buf_view(&ex->gen.text));
	} else if (sum->done) {
		buf_lit(b, "{\"text\":");
		buf_json(b, buf_view(&ex->gen.text));
		buf_lit(b, "}\n");
	}
	resp_write(ex, buf_view(b));
	resp_flush(ex);
	resp_end(ex);
}

static void broken_silent(struct sim_ex *ex, const char *message)
{
	(void)ex;
	(void)message;
}

static void error_audio(struct sim_ex *ex, int status, const char *message, struct buf *out, bool translation)
{
	dialect_oai.error(ex, status, message, out, translation);
}

const struct sim_dialect dialect_audio = {
	.item = item_silent,
	.finish = finish_audio,
	.broken = broken_silent,
	.error = error_audio,
	.error_newline = true,
};

/* A text model asked for a picture generates without limit and never shows it. */
static void finish_image(struct sim_ex *ex, const struct sim_summary *sum)
{
	(void)sum;
	item_silent(ex, NULL);
	ex->wait = WAIT_SILENT;
}

static const struct sim_dialect dialect_image = {
	.item = item_silent,
	.finish = finish_image,
	.broken = broken_silent,
	.error = error_audio,
	.error_newline = true,
};

/* --- multipart -------------------------------------------------------------------------------------------------------- */

struct form {
	struct span model;
	struct span format;
	struct span prompt;
	bool file;
};

static void part_take(struct form *f, struct span head, struct span body)
{
	static const struct {
		const char *name;
		size_t offset;
	} names[] = {{"name=\"model\"", offsetof(struct form, model)},
		     {"name=\"response_format\"", offsetof(struct form, format)},
		     {"name=\"prompt\"", offsetof(struct form, prompt)}};

	if (memmem(head.p, head.n, "name=\"file\"", 11) && memmem(head.p, head.n, "filename=", 9))
		f->file = true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (memmem(head.p, head.n, names[i].name, strlen(names[i].name)))
			*(struct span *)(void *)((char *)f + names[i].offset) = body;
}

/* False when the Content-Type is not that of a form. */
static bool form_read(struct sim_ex *ex, struct form *f)
{
	struct span type = sim_head_get(&ex->head, "content-type");
	struct span rest = ex->body;
	const char *b = type.n ? memmem(type.p, type.n, "boundary=", 9) : NULL;
	char mark[200];
	size_t mark_n;
	struct span boundary;

	if (type.n < 19 || memcmp(type.p, "multipart/form-data", 19) || !b)
		return false;
	boundary = (struct span){b + 9, type.n - (size_t)(b + 9 - type.p)};
	if (boundary.n > 1 && boundary.p[0] == '"')
		boundary = (struct span){boundary.p + 1, boundary.n - 2};
	mark_n = (size_t)snprintf(mark, sizeof(mark), "--" SPAN_FMT, SPAN_ARG(boundary));
	while (mark_n < sizeof(mark) && rest.n) {
		const char *from = memmem(rest.p, rest.n, mark, mark_n);
		const char *blank;
		const char *end;

		if (!from)
			break;
		from += mark_n;
		rest.n -= (size_t)(from - rest.p);
		rest.p = from;
		blank = memmem(rest.p, rest.n, "\r\n\r\n", 4);
		end = blank ? memmem(blank + 4, rest.n - (size_t)(blank + 4 - rest.p), mark, mark_n) : NULL;
		if (!end)
			break;
		part_take(f, (struct span){rest.p, (size_t)(blank - rest.p)},
			  (struct span){blank + 4, end - blank >= 6 ? (size_t)(end - 2 - (blank + 4)) : 0});
		rest.n -= (size_t)(end - rest.p);
		rest.p = end;
	}
	return true;
}

static void fail_translation(struct sim_ex *ex, const char *message)
{
	ex->translation = true;
	sim_ex_fail(ex, 400, message);
}

/* --- handlers --------------------------------------------------------------------------------------------------------- */

static void run(struct sim_ex *ex)
{
	if (!sim_request_model(ex, MISSING_PLAIN, true, false) ||
	    sim_request_lacks(ex, ex->conf.embed || ex->conf.broken, "chat", false) || !sim_request_options(ex, NULL))
		return;
	ex->stream = true;
	ex->think = ex->conf.thinking;
	sim_request_generate(ex);
}

void handle_oai_audio(struct sim_ex *ex)
{
	struct form f = {0};

	if (!form_read(ex, &f)) {
		fail_translation(ex, "failed to parse multipart form: request Content-Type isn't multipart/form-data");
		return;
	}
	if (!f.file) {
		fail_translation(ex, "file is required: http: no such file");
		return;
	}
	if (!f.model.n) {
		fail_translation(ex, "model is required");
		return;
	}
	ex->model_text = f.model;
	ex->plain_text = span_eq(f.format, SPAN_LIT("text"));
	ex->prompt = ex->user = f.prompt.p ? f.prompt : (struct span){"", 0};
	run(ex);
}

static const struct sim_field image_fields[] = {
	{"model", FIELD_STRING, "string", NULL},
	{"prompt", FIELD_STRING, "string", NULL},
	{"image", FIELD_ANY, NULL, NULL},
};
static const struct sim_schema image_schema = {"ImageGenerationRequest", "openai.ImageGenerationRequest", image_fields, 3};

void handle_oai_image(struct sim_ex *ex)
{
	if (!sim_request_read(ex, &image_schema))
		return;
	ex->dialect = &dialect_image;
	ex->prompt = ex->user = json_get_text(ex->json, "prompt");
	run(ex);
}

void handle_oai_image_edit(struct sim_ex *ex)
{
	if (!sim_request_read(ex, &image_schema))
		return;
	if (!json_get(ex->json, "image")) {
		fail_translation(ex, "image is required");
		return;
	}
	handle_oai_image(ex);
}
