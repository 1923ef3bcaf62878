package targettest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// create takes a clip and answers at once, before it is begun: what the client is told first is
// always that it is queued.
func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	j, _ := s.take(w, r)
	if j == nil {
		return
	}

	status := 200
	if s.o.Product == TensorRT {
		status = http.StatusAccepted
	}
	first := s.object(j)
	go s.work(j, nil)
	answer(w, status, first)
}

// object is a video's, as the product shows it. TensorRT-LLM has words of its own for the state, no
// progress, and an error that is a text; SGLang and vLLM-Omni say what the clip took.
func (s *Server) object(j *job) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := j.status
	if s.o.Product == TensorRT && status == "in_progress" {
		status = "generating"
	}

	out := map[string]any{"id": j.id, "object": "video", "model": "Wan2.2-T2V", "status": status,
		"progress": 0, "created_at": 1, "error": nil,
		"size": fmt.Sprintf("%dx%d", j.clip.Width, j.clip.Height)}

	failed := map[string]any{"message": "out of memory"}
	switch {
	case s.o.Product == TensorRT:
		out["progress"] = nil
		if status == "failed" {
			out["error"] = "out of memory"
		}
	case s.o.Product == VLLM:
		out["stage_durations"], out["peak_memory_mb"] = map[string]any{}, 0.0
		failed["code"] = 500
	}

	if status == "failed" && s.o.Product != TensorRT {
		out["error"] = failed
	}

	if status == "completed" && s.o.Product != TensorRT {
		out["progress"], out["completed_at"] = 100, 2
		out["inference_time_s"], out["peak_memory_mb"] = 0.25, 1024.0
		if s.o.Product == VLLM {
			out["stage_durations"] = map[string]any{"text_encoder.forward": 0.05, "diffuse": 0.15,
				"vae.decode": 0.05}
		}
	}
	return out
}

// find returns a clip, or answers that there is none.
func (s *Server) find(w http.ResponseWriter, r *http.Request) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[r.PathValue("id")]
	if j == nil {
		answer(w, http.StatusNotFound, map[string]any{"detail": "Video not found"})
	}
	return j
}

// get answers a poll.
func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	s.change(func() { s.polls++ })
	j := s.find(w, r)
	if j == nil {
		return
	}

	o := s.object(j)
	// vLLM-Omni gives the object of a failed clip the status that the failure would have had in a
	// synchronous request; the others answer with 200.
	final := o["status"] == "completed"
	switch {
	case final && s.spoil(w, j.fault, r):
	case o["status"] == "failed" && s.o.Product == VLLM:
		answer(w, http.StatusInternalServerError, o)
	default:
		answer(w, 200, o)
	}
}

// remove takes a clip back. SGLang and TensorRT-LLM make it nevertheless.
func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	j := s.find(w, r)
	if j == nil {
		return
	}
	s.change(func() {
		s.deleted = append(s.deleted, j.id)
		delete(s.jobs, j.id)
	})
	answer(w, 200, map[string]any{"id": j.id, "deleted": true, "object": "video.deleted"})
}

// content sends a clip's file.
func (s *Server) content(w http.ResponseWriter, r *http.Request) {
	j := s.find(w, r)
	if j == nil {
		return
	}

	var status string
	s.change(func() { status = j.status })
	switch {
	case status == "failed":
		answer(w, http.StatusUnprocessableEntity, map[string]any{"detail": "Video generation failed."})
	case status != "completed":
		answer(w, http.StatusNotFound, map[string]any{"detail": "Generation is still in-progress"})
	default:
		w.Header().Set("Content-Type", "video/mp4")
		_, _ = w.Write(s.fileOf(j)) // a client may have left
	}
}

// generate takes a clip and answers when it is done.
func (s *Server) generate(w http.ResponseWriter, r *http.Request) {
	j, fields := s.take(w, r)
	if j == nil {
		return
	}

	// The server goes on with its clip until the client leaves.
	s.work(j, r.Context().Done())
	if s.spoil(w, j.fault, r) {
		return
	}

	failed := j.fault == Fail || j.fault == Vanish
	if failed && s.o.Product != Dynamo {
		answer(w, http.StatusInternalServerError, map[string]any{"object": "error",
			"message": "Video generation failed", "code": 500})
		return
	}

	want := fields["response_format"]
	data := base64.StdEncoding.EncodeToString(s.fileOf(j))
	switch {
	case s.o.Product == Dynamo:
		answer(w, 200, dynamoAnswer(j.id, s.URL+"/files/"+j.id, data, want == "b64_json", failed))
	case want == "video_path":
		answer(w, 200, map[string]any{"video_id": j.id, "video_path": "/lustre/" + j.id + ".mp4"})
	case want == "video_bytes":
		answer(w, 200, map[string]any{"video_id": j.id, "video_bytes": data})
	case want == "path":
		answer(w, 200, map[string]any{"id": j.id, "output_path": "/tmp/" + j.id + ".mp4"})
	default:
		w.Header().Set("Content-Type", "video/mp4")
		w.Header().Set("Server-Timing", "generation;dur=250.5, denoise;dur=200, total;dur=300")
		_, _ = w.Write(s.fileOf(j)) // a client may have left
	}
}

// dynamoAnswer is Dynamo's object of one video.
func dynamoAnswer(id, url, data string, inside, failed bool) map[string]any {
	v := map[string]any{"output_format": "mp4", "url": url, "b64_json": nil}
	if inside {
		v["url"], v["b64_json"] = nil, data
	}
	out := map[string]any{"id": id, "object": "video", "model": "Wan2.2-T2V", "status": "completed",
		"progress": 100, "created": 1, "data": []any{v}, "error": nil, "inference_time_s": 0.25}
	if failed {
		out["status"], out["error"], out["data"] = "failed", "out of memory", []any{}
	}
	return out
}

// fileOf is a clip's file. Tests that look at pictures give theirs, as a stand-in has no encoder
// and the files that it makes by itself have headers alone.
func (s *Server) fileOf(j *job) []byte {
	if s.o.File != nil {
		return s.o.File(j.n, j.clip)
	}
	return MP4(j.clip)
}

// file sends what a URL of Dynamo's is about.
func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	if j := s.find(w, r); j != nil {
		_, _ = w.Write(s.fileOf(j)) // a client may have left
	}
}

// spoil answers in the way of a fault, and reports whether it has.
func (s *Server) spoil(w http.ResponseWriter, f Fault, r *http.Request) bool {
	// Faults that come before a clip is taken have been answered by admit, and those of the clip
	// itself by its state; here are those of an answer.
	switch f {
	case Status500:
		answer(w, http.StatusInternalServerError, map[string]any{"detail": "Internal Server Error"})
	case NoJSON:
		_, _ = w.Write([]byte("<html><body>502 Bad Gateway</body></html>"))
	case Strange:
		answer(w, 200, map[string]any{"id": "another", "status": "sideways", "data": 5})
	case Hang:
		select {
		case <-r.Context().Done():
		case <-s.ended:
		}
	case BreakOff:
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"id": "vid`))
		panic(http.ErrAbortHandler)

	case Huge:
		piece := []byte(strings.Repeat(" ", 64<<10))
		for {
			if _, err := w.Write(piece); err != nil {
				return true
			}
		}
	default:
		return false
	}
	return true
}

// What a product refuses is checked before a clip is taken, as the genuine servers do: a request
// that is wrong costs no slot, and is not counted among Options.Fault's.

// known lists the fields that a product which forbids others takes.
var known = map[Product][]string{
	TensorRT: {"prompt", "response_format", "format", "seed", "size", "width", "height", "num_frames",
		"seconds", "fps", "frame_rate", "num_inference_steps", "guidance_scale",
		"max_sequence_length", "negative_prompt", "extra_params", "model"},
	MLPerf: {"prompt", "negative_prompt", "size", "seconds", "fps", "num_inference_steps",
		"guidance_scale", "guidance_scale_2", "seed", "num_frames", "boundary_ratio", "latent_path",
		"output_format", "response_format", "model"},
}

// formats lists what each product takes as response_format.
var formats = map[Product][]string{TensorRT: {"file", "path"},
	MLPerf: {"video_bytes", "video_path"}, Dynamo: {"url", "b64_json"}}

// check returns what a product says of fields that it does not take, "" of good ones.
func (p Product) check(f map[string]any) string {
	for name := range f {
		if list := known[p]; list != nil && !slices.Contains(list, name) {
			return "['body', '" + name + "']: Extra inputs are not permitted"
		}
	}

	if v, ok := f["response_format"]; ok && formats[p] != nil &&
		!slices.ContainsFunc(formats[p], func(s string) bool { return s == v }) {
		return fmt.Sprintf("['body', 'response_format']: Input should be one of %v", formats[p])
	}

	if _, ok := f["model"]; !ok && p == Dynamo {
		return "Failed to deserialize the JSON body: missing field `model`"
	}

	// Dynamo's numbers are in its extension.
	inner := f
	if ext, ok := f["nvext"].(map[string]any); ok && p == Dynamo {
		inner = ext
	}
	return numbers(p, inner)
}
