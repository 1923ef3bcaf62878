package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
)

// AnswerMax bounds what a client reads of a JSON answer, in bytes; pages of videos may have more.
// The client trusts no server with its memory.
const AnswerMax = 64 << 20

const (
	// Bytes of a page of videos, the largest there is: a hundred of up to 16 MB.
	listMax = 100 * 16 << 20
	// Bytes of an answer that is an error; a proxy may send a page of HTML.
	refusalMax = 1 << 20
	// For a coordinator that is away to come back, or for a new leader to be elected, and how long to
	// pause between two tries.
	retryTime  = 20 * time.Second
	retryPause = 300 * time.Millisecond
)

// Client speaks to a coordinator. Its methods return a *schema.Error for what the server refused,
// and an *UnreachableError where none answered. It may be used by several goroutines.
type Client struct {
	// The URL as it is asked, without a slash at its end; it may have a user and a password.
	base string
	// The same without those, for errors.
	shown string
	http  *http.Client
	key   credential
}

// New returns a client of the coordinator at base, such as http://127.0.0.1:8080. hc sends its
// requests; nil is a client that keeps few connections and waits for a silent server for a while
// only. Another URL than of http or https is an error.
func New(base string, hc *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("coordinator %q; allowed: a URL such as http://127.0.0.1:8080",
			withoutUser(base))
	}
	if hc == nil {
		hc = defaultHTTP
	}
	return &Client{base: strings.TrimRight(base, "/"), shown: withoutUser(base), http: hc}, nil
}

// Get returns one video. An unknown id is a *schema.Error of status 404.
func (c *Client) Get(ctx context.Context, id job.ID) (schema.Video, error) {
	v, err := call[schema.Video](ctx, c, http.MethodGet, path(id, ""), nil)
	if err == nil {
		err = isThe(id, v)
	}
	return v, err
}

// List returns a page of videos, the newest first: at most limit (0: the server's default) that
// come after the given one ("": from the first), and that owner has made ("": anyone, as far as the
// client's key sees them).
func (c *Client) List(ctx context.Context, after job.ID, limit int, owner string) (schema.List,
	error) {
	q := url.Values{}
	if owner != "" {
		q.Set("owner", owner)
	}
	if after != "" {
		q.Set("after", string(after))
	}
	if limit > 0 {
		q.Set("limit", fmt.Sprint(limit))
	}
	resp, err := c.send(ctx, http.MethodGet, "/v1/videos?"+q.Encode(), nil)
	if err != nil {
		return schema.List{}, err
	}
	return decode[schema.List](resp.Body, listMax)
}

// Cancel stops a video. One that runs is "cancelling" until its shards have stopped.
func (c *Client) Cancel(ctx context.Context, id job.ID) (schema.Video, error) {
	return call[schema.Video](ctx, c, http.MethodPost, path(id, "/cancel"), nil)
}

// Retry queues the same video again, under an id of its own.
func (c *Client) Retry(ctx context.Context, id job.ID) (schema.Video, error) {
	return call[schema.Video](ctx, c, http.MethodPost, path(id, "/retry"), nil)
}

// Delete forgets a video and its files. One that is not final is cancelled first, for which Delete
// waits.
func (c *Client) Delete(ctx context.Context, id job.ID) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, path(id, ""), nil)
	return err
}

// Nodes returns the registered shards, by name, as the leader knows them.
func (c *Client) Nodes(ctx context.Context) ([]schema.Node, error) {
	l, err := call[schema.NodeList](ctx, c, http.MethodGet, "/v1/nodes", nil)
	return l.Data, err
}

// Models returns the models that the cluster serves. Where they are says a coordinator that leads.
func (c *Client) Models(ctx context.Context) ([]schema.Model, error) {
	l, err := call[schema.ModelList](ctx, c, http.MethodGet, "/v1/models", nil)
	return l.Data, err
}

// Drain takes a shard, by name or id, out of use; within bounds how long it may finish its step. It
// does not wait for that.
func (c *Client) Drain(ctx context.Context, name string, within time.Duration) (schema.Node,
	error) {
	return call[schema.Node](ctx, c, http.MethodPost, fmt.Sprintf("/v1/nodes/%s/drain?within=%g",
		url.PathEscape(name), within.Seconds()), nil)
}

// Undrain lets a drained shard work again.
func (c *Client) Undrain(ctx context.Context, name string) (schema.Node, error) {
	return call[schema.Node](ctx, c, http.MethodPost,
		"/v1/nodes/"+url.PathEscape(name)+"/undrain", nil)
}

// Cluster returns what the coordinator that is asked knows of itself and of the others. A follower
// answers, too: the request is not sent on to the leader.
func (c *Client) Cluster(ctx context.Context) (schema.Status, error) {
	return call[schema.Status](ctx, c, http.MethodGet, "/v1/cluster", nil)
}

// AddMember adds a coordinator, which has to run and to answer; it votes once it has caught up.
func (c *Client) AddMember(ctx context.Context, p schema.Peer) (schema.Status, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return schema.Status{}, err
	}
	return call[schema.Status](ctx, c, http.MethodPost, "/v1/cluster/members", b)
}

// RemoveMember takes a coordinator out that does not lead. force takes it out also where no
// majority of the others is in reach.
func (c *Client) RemoveMember(ctx context.Context, id string, force bool) (schema.Status, error) {
	return call[schema.Status](ctx, c, http.MethodDelete,
		"/v1/cluster/members/"+url.PathEscape(id)+"?force="+fmt.Sprint(force), nil)
}

// TransferLeader hands the leadership to a coordinator, "" for any.
func (c *Client) TransferLeader(ctx context.Context, to string) (schema.Status, error) {
	return call[schema.Status](ctx, c, http.MethodPost,
		"/v1/cluster/transfer?to="+url.QueryEscape(to), nil)
}

// Snapshot opens a copy of all that the coordinators have decided, without the objects; the caller
// closes it.
func (c *Client) Snapshot(ctx context.Context) (io.ReadCloser, error) {
	resp, err := c.send(ctx, http.MethodGet, "/v1/cluster/snapshot", nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Restore replaces all that the coordinators have decided by a snapshot: what came after it is
// forgotten.
func (c *Client) Restore(ctx context.Context, snapshot []byte) (schema.Status, error) {
	return call[schema.Status](ctx, c, http.MethodPost, "/v1/cluster/snapshot", snapshot)
}

// Content opens a video's file: variant "video" or "latents", or "preview" and "partial" while it
// is made. The first byte may take minutes, as the server compares a large file with its sum first.
// The caller closes it.
func (c *Client) Content(ctx context.Context, id job.ID, variant string) (io.ReadCloser, error) {
	rest := "/content?variant=" + url.QueryEscape(variant)
	resp, err := c.sendWithin(ctx, contentTime, http.MethodGet, path(id, rest), nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Watch calls f with every change until the video is final, which it returns. It follows the job
// across a coordinator that is away for a while, or another one that leads; f is called by this
// goroutine.
func (c *Client) Watch(ctx context.Context, id job.ID, f func(schema.Video)) (schema.Video, error) {
	for {
		v, err := again(ctx, func() (schema.Video, error) { return c.watch(ctx, id, f) })
		if err != nil || v.Final() {
			return v, err
		}
		if err := Pause(ctx, retryPause); err != nil {
			return v, err
		}
	}
}

// watch follows one stream to its end; the last video need not be final. An error is one that a new
// stream may not have. An event may have AnswerMax bytes; ids and comments of the stream are
// skipped.
func (c *Client) watch(ctx context.Context, id job.ID, f func(schema.Video)) (schema.Video, error) {
	var last schema.Video
	asked := path(id, "/events")
	resp, err := c.send(ctx, http.MethodGet, asked, nil)
	if err != nil {
		return last, err
	}
	defer resp.Body.Close()

	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, AnswerMax)
	heard, event := false, ""
	// Any line, also the comment that keeps the stream alive, shows that a coordinator is there.
	for lines.Scan() {
		heard = true
		if name, ok := bytes.CutPrefix(lines.Bytes(), []byte("event: ")); ok {
			event = string(name)
		}
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok || event == schema.EventEnd {
			continue
		}
		if last, err = schema.Follow(last, event, data); err != nil {
			return last, fmt.Errorf("cannot read the coordinator's event: %w", err)
		}
		if err := isThe(id, last); err != nil {
			return last, err
		}
		f(last)
	}

	if !heard && ctx.Err() == nil { // not even a sign of life
		return last, &UnreachableError{URL: c.shown, Asked: http.MethodGet + " " + asked,
			Err: cmp.Or(lines.Err(), io.EOF)}
	}
	return last, nil // a stream that breaks off is followed again
}

// isThe refuses an answer about another video than the one that was asked for: what follows would
// act on that.
func isThe(id job.ID, v schema.Video) error {
	if v.ID != id {
		return fmt.Errorf("the coordinator answers with video %.64q, not with %.64q", v.ID, id)
	}
	return nil
}

// path is below the routes of one video.
func path(id job.ID, rest string) string {
	return "/v1/videos/" + url.PathEscape(string(id)) + rest
}

// call sends a request and reads the JSON answer into a T. headers are names and values in turn.
func call[T any](ctx context.Context, c *Client, method, path string, body []byte,
	headers ...string) (T, error) {
	resp, err := c.send(ctx, method, path, body, headers...)
	if err != nil {
		var none T
		return none, err
	}
	return decode[T](resp.Body, AnswerMax)
}

// decode reads a JSON answer of so many bytes at most, and closes it.
func decode[T any](r io.ReadCloser, most int64) (out T, err error) {
	defer r.Close()
	if err := json.NewDecoder(io.LimitReader(r, most)).Decode(&out); err != nil {
		return out, fmt.Errorf("cannot read the coordinator's answer: %w", err)
	}
	return out, nil
}

// send returns the response if its status is a good one; the caller closes its body. It waits for a
// change longer than for an answer to a question.
func (c *Client) send(ctx context.Context, method, path string, body []byte,
	headers ...string) (*http.Response, error) {
	limit := answerTime
	if method != http.MethodGet {
		limit = changeTime
	}
	return c.sendWithin(ctx, limit, method, path, body, headers...)
}

// sendWithin is send with a limit for the answer to begin.
func (c *Client) sendWithin(ctx context.Context, limit time.Duration, method, path string,
	body []byte, headers ...string) (*http.Response, error) {
	ctx, p := wait(ctx, limit)
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		p.end()
		return nil, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
		req.Body = io.NopCloser(sending{req.Body, p})
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	c.key.put(req.Header)

	resp, err := c.http.Do(req)
	if err != nil {
		at := c.where(err)
		err = cause(ctx, err)
		p.end()
		return nil, &UnreachableError{URL: at, Asked: method + " " + path, Err: err}
	}

	p.answered()
	resp.Body = receiving{resp.Body, ctx, p}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized && c.key.drop() {
		return c.sendWithin(ctx, limit, method, path, body, headers...)
	}
	return nil, readError(resp)
}

// readError reads what the server says of a refusal. A proxy in between may have answered with
// anything.
func readError(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, refusalMax)) // what came is all there is to say
	var e schema.ErrorBody
	if strings.TrimSpace(string(b)) == plainOverTLS {
		return &schema.Error{Status: resp.StatusCode,
			Message: "the coordinator speaks TLS on this port; allowed: its https:// URL, with --ca"}
	}
	if json.Unmarshal(b, &e) != nil || e.Error == nil || e.Error.Message == "" {
		return &schema.Error{Status: resp.StatusCode,
			Message: fmt.Sprintf("the coordinator answers %s: %.200s", resp.Status,
				strings.TrimSpace(string(b)))}
	}
	e.Error.Status = resp.StatusCode
	return e.Error
}
