package join

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/pki"
)

const (
	askTime   = 20 * time.Second // for an answer
	answerMax = 1 << 20          // bytes of one
)

// asker asks coordinators over HTTPS. Each question has a connection of its own, so that each is
// judged by the certificates of that moment.
type asker struct{ http *http.Client }

func newAsker(cfg *tls.Config) asker {
	return asker{&http.Client{Timeout: askTime, Transport: &http.Transport{TLSClientConfig: cfg,
		DisableKeepAlives: true, TLSHandshakeTimeout: askTime, MaxResponseHeaderBytes: answerMax},
		// To the leader, and nowhere without TLS.
		CheckRedirect: func(r *http.Request, before []*http.Request) error {
			if r.URL.Scheme != "https" || len(before) > 4 {
				return fmt.Errorf("it sends on to %s; allowed: https URLs, up to 4", r.URL.Redacted())
			}
			return nil
		}}}
}

// ask sends JSON, if body is not nil, and reads JSON. An answer that refuses is a *RefusedError.
//
// The URL may be of a follower, which sends on to the leader; method and body are repeated there.
// The leader is judged by the same configuration, so a follower cannot send a token elsewhere.
func (a asker) ask(ctx context.Context, method, url string, body, to any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}

	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")

	// An answer is read whole, and is never large.

	resp, err := a.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(io.LimitReader(resp.Body, answerMax+1))

	switch {
	case err != nil:
		return err
	case len(data) > answerMax:
		return fmt.Errorf("the answer has more than %d bytes", answerMax)
	case resp.StatusCode == http.StatusOK:
		return json.Unmarshal(data, to)
	}

	// The API's form of an error; a proxy in between may answer with a page of its own.
	var refused struct{ Error *RefusedError }
	if json.Unmarshal(data, &refused) != nil || refused.Error == nil {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	refused.Error.Status = resp.StatusCode
	return refused.Error
}

// RefusedError is a coordinator's no.
type RefusedError struct {
	Status  int    `json:"-"` // of HTTP
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Message }

// refusal reports whether an error is a coordinator's no, which the others would repeat.
func refusal(err error) bool {
	var e *RefusedError
	return errors.As(err, &e) && e.Status < 500
}

// remedy says how to get another token, where this one was refused.
func remedy(err error, role pki.Role) string {
	if e := (*RefusedError)(nil); !errors.As(err, &e) || e.Code != "token_refused" {
		return ""
	}
	return fmt.Sprintf("; an administrator makes another one: longtake pki token --role %s", role)
}

// base is a URL without what is not wanted at its end.
func base(url string) string { return strings.TrimRight(url, "/") }
