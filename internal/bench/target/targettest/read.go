package targettest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// bodyMax bounds a request, in bytes.
const bodyMax = 1 << 20

var sizes = regexp.MustCompile(`^\d+x\d+$`)

// read reads a request's fields as the product does, or answers what is wrong with them.
func (s *Server) read(w http.ResponseWriter, r *http.Request) (map[string]any, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
	isForm := strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data")
	fields := map[string]any{}
	switch {
	case s.o.Product == VLLM && !isForm:
		missing(w, "prompt") // its fields are those of a form
		return nil, false
	case isForm && s.o.Product != VLLM:
		answer(w, http.StatusBadRequest, map[string]any{"detail": "input_reference file is required"})
		return nil, false
	case isForm:
		if err := r.ParseMultipartForm(bodyMax); err != nil {
			answer(w, http.StatusBadRequest, map[string]any{"detail": err.Error()})
			return nil, false
		}
		for name, values := range r.MultipartForm.Value {
			fields[name] = values[0]
		}
	default:
		// Numbers stay as they were written, so that 5.0 can be told from 5.
		d := json.NewDecoder(r.Body)
		d.UseNumber()
		if err := d.Decode(&fields); err != nil {
			answer(w, http.StatusBadRequest, map[string]any{"detail": err.Error()})
			return nil, false
		}
	}

	if prompt, _ := fields["prompt"].(string); prompt == "" {
		missing(w, "prompt")
		return nil, false
	}

	if wrong := s.o.Product.check(fields); wrong != "" {
		answer(w, http.StatusUnprocessableEntity, map[string]any{"detail": wrong})
		return nil, false
	}
	return fields, true
}

// missing is FastAPI's answer to a request without a field.
func missing(w http.ResponseWriter, name string) {
	answer(w, http.StatusUnprocessableEntity, map[string]any{"detail": []any{map[string]any{
		"type": "missing", "loc": []any{"body", name}, "msg": "Field required", "input": nil}}})
}

// Pydantic, which most of these servers check requests with, would take a text for a number where
// it can be read as one. The stand-ins do not: Dynamo's frontend does not either, and a client that
// sends numbers works with all of them.

// numbers returns what is wrong with numbers and the size, "" for nothing. In JSON a number is none
// of the texts that a form has.
func numbers(p Product, f map[string]any) string {
	for name, bounds := range map[string][2]float64{"num_frames": {1, 7200}, "fps": {1, 120},
		"num_inference_steps": {1, 200}, "guidance_scale": {0, 20}, "guidance_scale_2": {0, 20},
		"seed": {0, 1 << 63}, "width": {1, 1 << 14}, "height": {1, 1 << 14}} {
		v, ok := f[name]
		if !ok {
			continue
		}
		_, isNumber := v.(json.Number)
		if isNumber == (p == VLLM) {
			return fmt.Sprintf("['body', '%s']: Input should be a valid number, not %v", name, v)
		}
		n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
		whole := !strings.HasPrefix(name, "guidance")
		if err != nil || n < bounds[0] || n > bounds[1] ||
			whole && strings.ContainsAny(fmt.Sprint(v), ".eE") {
			return fmt.Sprintf("['body', '%s']: Input should be in %v", name, bounds)
		}
	}

	if size, ok := f["size"]; ok {
		if text, isText := size.(string); !isText || !sizes.MatchString(text) {
			return "['body', 'size']: String should match pattern '^\\d+x\\d+$'"
		}
	}

	if v, ok := f["seconds"]; ok && p == VLLM && !regexp.MustCompile(`^[1-9]\d*$`).MatchString(
		fmt.Sprint(v)) {
		return "['body', 'seconds']: String should match pattern '^[1-9]\\d*$'"
	}
	return ""
}
