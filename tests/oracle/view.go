// What Go's encoding/json, which Ollama reads request bodies with, finds in bodies: the members that routing looks at, last one wins.
//
// Reads bodies, each with its length before it in eight hexadecimal digits; writes a line for each: "bad", or the members that are there,
// as name=first byte:length of the raw value.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
)

type options struct {
	NumCtx          json.RawMessage `json:"num_ctx"`
	NumBatch        json.RawMessage `json:"num_batch"`
	NumGPU          json.RawMessage `json:"num_gpu"`
	MainGPU         json.RawMessage `json:"main_gpu"`
	UseMMap         json.RawMessage `json:"use_mmap"`
	NumThread       json.RawMessage `json:"num_thread"`
	DraftNumPredict json.RawMessage `json:"draft_num_predict"`
}

type body struct {
	Model       json.RawMessage `json:"model"`
	Name        json.RawMessage `json:"name"`
	From        json.RawMessage `json:"from"`
	Source      json.RawMessage `json:"source"`
	Destination json.RawMessage `json:"destination"`
	Stream      json.RawMessage `json:"stream"`
	KeepAlive   json.RawMessage `json:"keep_alive"`
	Options     json.RawMessage `json:"options"`
	Prompt      json.RawMessage `json:"prompt"`
	Messages    json.RawMessage `json:"messages"`
	Input       json.RawMessage `json:"input"`
	System      json.RawMessage `json:"system"`
	Tools       json.RawMessage `json:"tools"`
	Format      json.RawMessage `json:"format"`
	Images      json.RawMessage `json:"images"`
	Think       json.RawMessage `json:"think"`
	MaxTokens   json.RawMessage `json:"max_tokens"`
	Verbose     json.RawMessage `json:"verbose"`
}

func members(w io.Writer, v any) {
	r := reflect.ValueOf(v).Elem()
	for i := 0; i < r.NumField(); i++ {
		if raw := r.Field(i).Bytes(); raw != nil {
			fmt.Fprintf(w, " %s=%02x:%d", r.Type().Field(i).Tag.Get("json"), raw[0], len(raw))
		}
	}
}

func look(w io.Writer, text []byte) {
	var b body
	var o options
	if t := bytes.TrimLeft(text, " \t\r\n"); len(t) == 0 || t[0] != '{' || json.Unmarshal(text, &b) != nil {
		fmt.Fprintln(w, "bad")
		return
	}
	fmt.Fprint(w, "ok")
	members(w, &b)
	if len(b.Options) > 0 && b.Options[0] == '{' && json.Unmarshal(b.Options, &o) == nil {
		members(w, &o)
	}
	fmt.Fprintln(w)
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		n, err := strconv.ParseUint(string(head), 16, 32)
		if err != nil {
			panic(err)
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			panic(err)
		}
		look(out, text)
	}
}
