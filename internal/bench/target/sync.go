package target

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Servers that answer when the clip is done have no way to cancel but to close the connection. What
// they do then is theirs to decide: TensorRT-LLM's finishes the clip, so that a benchmark which is
// interrupted leaves it at work.

// answer is what a server that answers when the clip is done has sent: a file as it is, or JSON in
// which there may be one.
type answer struct {
	rest  []byte // JSON without the video; nil: the file was sent as it is
	video *film  // nil: none was sent
	into  io.Writer
}

// post sends a request and waits for its clip. The latency ends with the head of the answer: what
// follows is the download. It is never sent again, as the server may be at work on it.
func (p *peer) post(ctx context.Context, at string, f fields, into io.Writer, out *Outcome) (answer,
	error) {
	b, err := f.json()
	if err != nil {
		return answer{}, err
	}

	out.Sent = time.Now()
	resp, err := p.send(ctx, http.MethodPost, at, b)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()

	// Servers write the head when the file is there, or the JSON that has it in it.
	out.Latency = time.Since(out.Sent)
	out.FirstPlayable = out.Latency
	out.Stages = timings(resp.Header)
	return readAnswer(resp.Body, p.o.ContentMax, into)
}

// readAnswer reads JSON or a file, of up to most bytes.
func readAnswer(r io.Reader, most int64, into io.Writer) (answer, error) {
	in := bufio.NewReader(r)
	head, err := in.Peek(12)
	if err != nil && !errors.Is(err, io.EOF) {
		return answer{}, unreachable(err)
	}

	isFile := len(head) >= 8 && string(head[4:8]) == "ftyp" ||
		bytes.HasPrefix(head, []byte("\x1a\x45\xdf\xa3")) || bytes.HasPrefix(head, []byte("RIFF"))
	if isFile {
		f, err := examine(in, most, into)
		return answer{video: &f}, err
	}

	// What is no file is read as JSON, and found out to be none by whoever reads that.
	a := answer{into: into}
	// Base64 has 4 characters for 3 bytes; what is around the video is bounded by itself.
	a.rest, err = sift(io.LimitReader(in, most/3*4+answerMax), answerMax, func(r io.Reader) error {
		f, err := examine(plain(r), most, into)
		a.video = &f
		return err
	})
	return a, err
}

// decoded is a video that was sent as base64: the one that was sifted out, or a short one. "" is
// none.
func (a *answer) decoded(text string, most int64) error {
	if text == "" || text == sifted && a.video != nil {
		return nil
	}
	f, err := examine(plain(strings.NewReader(text)), most, a.into)
	a.video = &f
	return err
}

// json reads the JSON of an answer.
func (a answer) json(v any) error {
	if err := json.Unmarshal(a.rest, v); err != nil {
		return fail(Malformed, "an answer that is neither a video nor JSON of one: %w", err)
	}
	return nil
}

// timings reads what a server says of its stages in the head of an answer: TensorRT-LLM has
// Server-Timing, in milliseconds, and vLLM-Omni X-Inference-Time-S.
func timings(h http.Header) map[string]time.Duration {
	out := map[string]time.Duration{}
	if s, err := strconv.ParseFloat(h.Get("X-Inference-Time-S"), 64); err == nil {
		stage(out, "inference", s)
	}

	metrics := strings.Split(strings.Join(h.Values("Server-Timing"), ","), ",")
	for _, metric := range metrics[:min(len(metrics), stagesMax)] {
		parts := strings.Split(metric, ";")
		for _, param := range parts[1:] {
			text, ok := strings.CutPrefix(strings.TrimSpace(param), "dur=")
			ms, err := strconv.ParseFloat(text, 64)
			if name := strings.TrimSpace(parts[0]); ok && err == nil && name != "total" {
				stage(out, stageName(name), ms/1000)
			}
		}
	}
	return out
}
