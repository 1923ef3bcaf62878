package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// list answers with a page of videos, the newest first unless the query says otherwise. Limits
// above 100, and an after that is unknown, are for the coordinator to refuse. A client has the next
// page by after=last_id while has_more is true.
func (s *server) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	o := coord.ListOptions{After: job.ID(q.Get("after")), Order: q.Get("order"),
		Owner: q.Get("owner")}
	if t := q.Get("limit"); t != "" {
		n, err := strconv.Atoi(t)
		if err != nil || n < 1 {
			return &job.FieldError{Field: "limit", Value: fmt.Sprintf("%.64q", t), Allowed: "1 to 100"}
		}
		o.Limit = n
	}

	p, err := s.service.List(r.Context(), o)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Method != http.MethodHead {
		writeList(w, p)
	}
	return nil
}

// writeList writes a List, one video after the other: a hundred large ones are more than a slow
// reader may have waiting in memory. It stops when the reader has left. The text is that of a
// schema.List; client.List reads it as one.
func writeList(w io.Writer, p coord.Page) {
	end := schema.List{Object: "list", HasMore: p.More}
	before := `{"object":"list","data":[`
	for i, v := range p.Jobs {
		if i == 0 {
			end.FirstID = v.ID
		}
		end.LastID = v.ID
		if _, err := io.WriteString(w, before); err != nil {
			return
		}
		if _, err := w.Write(encode(toVideo(v))); err != nil {
			return
		}
		before = ","
	}

	if len(p.Jobs) > 0 {
		before = ""
	}
	fmt.Fprintf(w, "%s],\"first_id\":%s,\"last_id\":%s,\"has_more\":%t}\n", before,
		encode(end.FirstID), encode(end.LastID), end.HasMore)
}

// encode returns the JSON of a value of types that are all ours. An error would be a bug: a type
// that JSON cannot have, or a float that is not finite.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
