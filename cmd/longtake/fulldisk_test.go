package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/golden"
)

// smallDisk mounts a file system of its own in memory, or skips the test where that is not allowed.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := mountSmall(t, dir, size); err != nil {
		t.Skipf("cannot mount a small file system (needs root): %v", err)
	}
	return dir
}

func mountSmall(t *testing.T, dir, size string) error {
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
	if err == nil {
		t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	}
	return err
}

// fillDisk writes a file until nothing more goes into the file system, and returns its path.
func fillDisk(dir string) (path string, err error) {
	path = filepath.Join(dir, "filler")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return path, err
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		n, err := f.Write(block)
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			return path, err
		}
		if n < len(block) {
			block = block[:len(block)/2]
		}
	}
	return path, nil
}

// diskTest is a coordinator on a small disk, and a shard.
type diskTest struct {
	t          *testing.T
	disk       string
	b          binaries
	c          *program
	args       []string // more of the coordinator's
	http, nats string
	before     []byte // what a finished clip was
}

const (
	tinyClip = `{"prompt":"x","size":"32x32","num_frames":1,"num_inference_steps":1,"seed":2}`
	longClip = `{"prompt":"a blue car","size":"64x64","num_frames":33,"num_inference_steps":400,"seed":1}`
)

func startOnSmallDisk(t *testing.T, model string) *diskTest {
	d := &diskTest{t: t, disk: smallDisk(t, "64m"), b: build(t), http: "127.0.0.1:0", nats: "127.0.0.1:0"}
	d.start()
	d.b.start(t, "shard", "--control", "nats://"+d.nats, "--model", model, "--threads", "1")
	until(t, "a shard", func() bool {
		_, text := d.ask(http.MethodGet, "/v1/nodes", "")
		return bytes.Contains(text, []byte(`"idle"`))
	})
	return d
}

func (d *diskTest) start() {
	d.c = d.b.start(d.t, "coordinator", append(d.args, "--data", d.disk+"/data", "--http-listen", d.http,
		"--nats-listen", d.nats)...)
	at := d.c.find(`msg=serving http=http://(\S+) nats=nats://(\S+)`)
	d.http, d.nats = at[0], at[1]
}

// ask returns what the API says to a request; 0 if it does not answer.
func (d *diskTest) ask(method, path, body string) (int, []byte) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, "http://"+d.http+path,
		strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := chaosHTTP.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return resp.StatusCode, b
}

func (d *diskTest) video(id string) (v chaosVideo) {
	_, text := d.ask(http.MethodGet, "/v1/videos/"+id, "")
	json.Unmarshal(text, &v) //nolint:errcheck // an empty one is asked for again
	return v
}

func (d *diskTest) completes(id string) {
	d.t.Helper()
	until(d.t, id, func() bool { return d.video(id).Details.State == "completed" })
}

// readsAlone wants a job to be refused with the reason, and a finished clip to be read.
func (d *diskTest) readsAlone(kept string) {
	d.t.Helper()
	until(d.t, "a job to be refused with the reason", func() bool {
		code, text := d.ask(http.MethodPost, "/v1/videos", tinyClip)
		return code == http.StatusInsufficientStorage && bytes.Contains(text, []byte("no_space"))
	})
	until(d.t, "a clip to be read", func() bool {
		code, now := d.ask(http.MethodGet, "/v1/videos/"+kept+"/content", "")
		return code == http.StatusOK && bytes.Equal(d.before, now)
	})
	if code, text := d.ask(http.MethodGet, "/readyz?verbose", ""); !bytes.Contains(text,
		[]byte("[-] disk: the disk of coordinator c1 is full")) {
		d.t.Errorf("/readyz?verbose: %d, %s", code, text)
	}
}

// TestACoordinatorOnAFullDisk fills a coordinator's disk of 64 MB to the last byte while a clip is
// made. No job is taken then, but what is there is read and deleted, also by a coordinator that was
// killed and started again on the full disk. With room the clip becomes what it would have been.
func TestACoordinatorOnAFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts processes")
	}
	dir, model := t.TempDir(), golden.Root("testdata", "golden", "tiny3")
	d := startOnSmallDisk(t, model)
	d.b.longtake(t, "", "generate", "-p", "a blue car", "--size", "64x64", "--frames", "33", "--steps",
		"400", "--seed", "1", "--model", model, "-o", dir+"/x.webm")
	kept, gone := post(t, "http://"+d.http, tinyClip), post(t, "http://"+d.http, tinyClip)
	d.completes(kept)
	d.completes(gone)
	_, d.before = d.ask(http.MethodGet, "/v1/videos/"+kept+"/content", "")
	long := post(t, "http://"+d.http, longClip)
	until(t, "a checkpoint", func() bool { return d.video(long).Details.Checkpoint > 0 })

	filler, err := fillDisk(d.disk)
	if err != nil {
		t.Fatal(err)
	}
	d.readsAlone(kept)
	if code, text := d.ask(http.MethodDelete, "/v1/videos/"+gone, ""); code != http.StatusOK {
		t.Errorf("a deletion on a full disk: %d, %s", code, text)
	}
	d.c.kill()
	d.start()
	d.readsAlone(kept)
	if s := d.video(long).Details.State; s != "running" && s != "queued" {
		t.Errorf("the long clip is %q on a full disk", s)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	d.completes(long)
	code, video := d.ask(http.MethodGet, "/v1/videos/"+long+"/content", "")
	if code != http.StatusOK || sha256.Sum256(video) != sha256.Sum256(file(t, dir+"/x.webm")) {
		t.Errorf("the long clip is another: %d, %d bytes", code, len(video))
	}
	until(t, "a job to be taken", func() bool {
		code, _ := d.ask(http.MethodPost, "/v1/videos", tinyClip)
		return code == http.StatusOK
	})
	d.c.stop()
}

// fillCoordinator fills the disk of a coordinator to the last byte for some seconds.
func (c *chaos) fillCoordinator() {
	p := c.coords[c.rng.IntN(len(c.coords))]
	filler, err := fillDisk(p.data)
	if err != nil {
		c.t.Errorf("cannot fill a disk: %v", err)
	}
	time.Sleep(c.between(time.Second, 6*time.Second))
	if err := os.Remove(filler); err != nil {
		c.t.Error(err)
	}
}
