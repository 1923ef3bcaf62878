//go:build !race

// Built for the race detector, OpenAI's client takes most of a minute of a core. What the server
// does for it is what it does for our own client in the other tests.

//lint:file-ignore SA1019 OpenAI retires its own service; its client still speaks the protocol.

package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/longtake/longtake/internal/job"
)

// TestOpenAIsClient uses the API as programs written for OpenAI's do.
func TestOpenAIsClient(t *testing.T) {
	f := newFake()
	url, c := serve(t, f)
	ctx := context.Background()
	oc := openai.NewClient(option.WithBaseURL(url+"/v1/"), option.WithAPIKey("none"),
		option.WithHTTPClient(c.http), option.WithMaxRetries(0))
	params := openai.VideoNewParams{Prompt: "a cat", Seconds: "1", Size: "128x64"}
	v, err := oc.Videos.New(ctx, params)
	if err != nil || v.Status != openai.VideoStatusQueued || v.Size != "128x64" ||
		v.Seconds != "1" {
		t.Fatalf("%+v, %v", v, err)
	}
	id := string(completed(f))
	if v, err = oc.Videos.Get(ctx, id); err != nil || v.Status != openai.VideoStatusCompleted ||
		v.CompletedAt != 2000 || v.Progress != 100 {
		t.Errorf("%+v, %v", v, err)
	}
	page, err := oc.Videos.List(ctx, openai.VideoListParams{Limit: openai.Int(1)})
	if err != nil || len(page.Data) != 1 || page.Data[0].ID != id || !page.HasMore {
		t.Errorf("%+v, %v", page, err)
	}
	n := 0
	for all := oc.Videos.ListAutoPaging(ctx, openai.VideoListParams{Limit: openai.Int(1)}); all.Next(); {
		n++
	}
	if n != 2 {
		t.Errorf("%d videos over all pages", n)
	}
	resp, err := oc.Videos.DownloadContent(ctx, id, openai.VideoDownloadContentParams{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(b) != "the video" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if d, err := oc.Videos.Delete(ctx, id); err != nil || !d.Deleted {
		t.Errorf("%+v, %v", d, err)
	}
	f.model.Extends, f.model.Defaults.Window, f.model.Defaults.Overlap = true, 9, 3
	params.InputReference = openai.VideoNewParamsInputReferenceUnion{
		OfFile: bytes.NewReader(picture(t))}
	if v, err = oc.Videos.New(ctx, params); err != nil ||
		f.jobs[job.ID(v.ID)].Spec.Inputs[0].Kind != job.KindImage {
		t.Errorf("from a picture: %+v, %v", v, err)
	}
	var e *openai.Error
	if _, err = oc.Videos.Get(ctx, id); !errors.As(err, &e) || e.StatusCode != 404 ||
		e.Code != "not_found" {
		t.Errorf("%v", err)
	}
}
