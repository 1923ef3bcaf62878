//lint:file-ignore SA1019 OpenAI retires its own service; its client still speaks the protocol.

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/longtake/longtake/internal/golden"
)

// TestClients uses `longtake up` through OpenAI's SDKs for Python, Node and Go: make test-clients.
// Those for Python and Node are fetched into bin/clients; where they cannot be, it says so.
func TestClients(t *testing.T) {
	if os.Getenv("LONGTAKE_CLIENTS") == "" {
		t.Skip("make test-clients runs this")
	}
	env := append(os.Environ(), "BASE_URL="+startUp(t, build(t)), "PICTURE="+writePicture(t))
	t.Run("go", func(t *testing.T) { useGo(t, env[len(env)-2][len("BASE_URL="):]) })
	scripts := golden.Root("testdata", "clients")
	dir := golden.Root("bin", "clients")
	t.Run("python", func(t *testing.T) {
		try(t, "", "python3", "-m", "venv", filepath.Join(dir, "python"))
		python := filepath.Join(dir, "python", "bin", "python")
		try(t, "", python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r",
			filepath.Join(scripts, "requirements.txt"))
		drive(t, env, scripts, python, "client.py")
	})
	t.Run("node", func(t *testing.T) {
		node := filepath.Join(dir, "node")
		for _, name := range []string{"package.json", "package-lock.json", "client.mjs"} {
			copyFile(t, filepath.Join(scripts, name), filepath.Join(node, name))
		}
		try(t, node, "npm", "ci", "--silent", "--no-audit", "--no-fund")
		drive(t, env, node, "node", "client.mjs")
	})
}

// startUp runs a whole cluster and returns its URL.
func startUp(t *testing.T, b binaries) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(b.dir, "longtake"), "up", "--listen", "127.0.0.1:0", "--data",
		t.TempDir(), "--threads", "1", "--http-model-aliases", "sora-2")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			t.Logf("longtake up: %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url := regexp.MustCompile(`http://[0-9.:]+`).FindString(lines.Text()); url != "" {
			go io.Copy(io.Discard, out)
			return url
		}
	}
	t.Fatal("longtake up says no URL")
	return ""
}

func writePicture(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 96, 64))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.png")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(to), 0o750), os.WriteFile(to, b, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// try runs what needs a network, or a tool that not every machine has.
func try(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("skipped: %s cannot be installed: %v: %.500s", t.Name(), err, out)
	}
}

// drive runs a script that fails where the API is not as its SDK expects.
func drive(t *testing.T, env []string, dir, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// goClient is the SDK for Go.
type goClient struct {
	t *testing.T
	c openai.Client
}

// useGo goes through the SDK's methods.
func useGo(t *testing.T, url string) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	g := goClient{t, openai.NewClient(option.WithBaseURL(url+"/v1/"), option.WithAPIKey("none"),
		option.WithMaxRetries(0), option.WithHTTPClient(&http.Client{Transport: transport}))}
	ctx := t.Context()
	asked := openai.VideoNewParams{Prompt: "a red ball", Seconds: "1", Size: "96x64", Model: "sora-2"}
	asked.SetExtraFields(map[string]any{"num_inference_steps": 1})
	first, err := g.c.Videos.New(ctx, asked)
	made := g.done(first, err)
	if made.Seconds != "1" || made.Size != "96x64" || made.Model != "sora-2" {
		t.Errorf("%+v", made)
	}
	for variant, magic := range map[openai.VideoDownloadContentParamsVariant]string{
		"": "\x1a\x45\xdf\xa3", "thumbnail": "RIFF", "spritesheet": "\xff\xd8"} {
		resp, err := g.c.Videos.DownloadContent(ctx, made.ID,
			openai.VideoDownloadContentParams{Variant: variant})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.HasPrefix(string(b), magic) {
			t.Errorf("%q: %.40q, %v", variant, b, err)
		}
	}
	g.change(made)
	page, err := g.c.Videos.List(ctx, openai.VideoListParams{Limit: openai.Int(1)})
	if err != nil || len(page.Data) != 1 || !page.HasMore {
		t.Errorf("%+v, %v", page, err)
	}
	m, err := g.c.Models.Get(ctx, "sora-2")
	if err != nil || m.ID != "sora-2" {
		t.Errorf("%+v, %v", m, err)
	}
	if d, err := g.c.Videos.Delete(ctx, made.ID); err != nil || !d.Deleted {
		t.Errorf("%+v, %v", d, err)
	}
	_, err = g.c.Videos.Get(ctx, made.ID)
	g.refused(err, http.StatusNotFound)
	_, err = g.c.Videos.New(ctx, openai.VideoNewParams{Prompt: "a", Size: "big"})
	g.refused(err, http.StatusBadRequest)
}

// change makes other videos of one.
func (g goClient) change(made *openai.Video) {
	ctx := g.t.Context()
	remix, err := g.c.Videos.Remix(ctx, made.ID, openai.VideoRemixParams{Prompt: "a blue ball"})
	if v := g.done(remix, err); v.RemixedFromVideoID != made.ID {
		g.t.Errorf("%+v", v)
	}
	// The SDK sends a reference as video.id.
	more, err := g.c.Videos.Extend(ctx, openai.VideoExtendParams{Prompt: "a red ball", Seconds: "1",
		Video: openai.VideoExtendParamsVideoUnion{OfVideoExtendsVideoVideoReferenceInputParam: &openai.
			VideoExtendParamsVideoVideoReferenceInputParam{ID: made.ID}}})
	g.done(more, err)
	_, err = g.c.Videos.Edit(ctx, openai.VideoEditParams{Prompt: "a", Video: openai.
		VideoEditParamsVideoUnion{OfFile: strings.NewReader("a video")}})
	g.refused(err, http.StatusBadRequest)
}

// done polls a video until it is completed.
func (g goClient) done(v *openai.Video, err error) *openai.Video {
	g.t.Helper()
	for end := time.Now().Add(deadline); err == nil && v.Status != openai.VideoStatusCompleted; {
		if v.Status == openai.VideoStatusFailed || time.Now().After(end) {
			g.t.Fatalf("%+v", v)
		}
		time.Sleep(100 * time.Millisecond)
		v, err = g.c.Videos.Get(g.t.Context(), v.ID)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

func (g goClient) refused(err error, status int) {
	g.t.Helper()
	var e *openai.Error
	if !errors.As(err, &e) || e.StatusCode != status || e.Message == "" ||
		e.Response.Header.Get("X-Request-Id") == "" {
		g.t.Errorf("%v, want status %d", err, status)
	}
}
