package target

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestRefusedPaths: a server that answers with files alone refuses the path in both forms. What it
// said of the first one is shown, with what to do, and with --content it is not asked for paths.
func TestRefusedPaths(t *testing.T) {
	const says = `{"error": {"message": "response_format is not allowed; allowed: video_bytes"}}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(says)) //nolint:errcheck // the client's to judge
	}))
	defer s.Close()

	for content, want := range map[bool]string{
		false: "allowed: video_bytes; the path of the file was asked for: --content asks",
		true:  "allowed: video_bytes",
	} {
		to, err := Open(t.Context(), Options{URL: s.URL, Dialect: "generations", Content: content})
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		for range 2 { // nothing is learnt from a server that refuses all
			_, err = to.Make(t.Context(), Request{Prompt: "a"}, nil)
			if err == nil || !strings.Contains(err.Error(), want) ||
				content && strings.Contains(err.Error(), "--content") {
				t.Errorf("content %v: %v", content, err)
			}
		}
	}
}
