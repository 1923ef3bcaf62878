package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// mp4 pipes frames into ffmpeg, which needs a file to put its index first.
type mp4 struct {
	w    io.Writer
	cmd  *exec.Cmd
	in   io.WriteCloser
	errs bytes.Buffer // what ffmpeg complains of
	path string
}

func newMP4(w io.Writer, o Options) (*mp4, error) {
	if err := MP4.Available(); err != nil {
		return nil, err
	}
	if o.Width%2 != 0 || o.Height%2 != 0 {
		return nil, fmt.Errorf("clip is %dx%d; allowed in mp4: even sizes", o.Width, o.Height)
	}
	file, err := os.CreateTemp("", "longtake-*.mp4")
	if err != nil {
		return nil, fmt.Errorf("cannot create a temporary file: %w", err)
	}
	file.Close()
	m := &mp4{w: w, path: file.Name()}
	m.cmd = exec.Command("ffmpeg", arguments(o, m.path)...)
	m.cmd.Stderr = &m.errs
	if m.in, err = m.cmd.StdinPipe(); err == nil {
		err = m.cmd.Start()
	}
	if err != nil {
		os.Remove(m.path)
		return nil, fmt.Errorf("cannot start ffmpeg: %w", err)
	}
	return m, nil
}

// arguments of ffmpeg: raw RGB in; H.264 out, 4:2:0 in the colours of HD television, so that every
// player shows it.
func arguments(o Options, path string) []string {
	size, fps := fmt.Sprintf("%dx%d", o.Width, o.Height), fmt.Sprintf("%d/%d", o.FPS, o.per())
	return []string{"-hide_banner", "-loglevel", "error", "-nostdin", "-y",
		"-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", size, "-framerate", fps, "-i", "pipe:0",
		"-vf", "scale=out_color_matrix=bt709:out_range=tv", "-c:v", "libx264", "-crf", rateFactor(o),
		"-pix_fmt", "yuv420p", "-colorspace", "bt709", "-color_primaries", "bt709",
		"-color_trc", "bt709", "-movflags", "+faststart", "-f", "mp4", path}
}

// rateFactor is x264's, on which a quality maps as imageio maps it, so that other servers' values
// mean the same here. 0 would be lossless, in a profile of H.264 that many players lack.
func rateFactor(o Options) string {
	const usual, worst = 17, 51
	if o.Quality == 0 {
		return strconv.Itoa(usual)
	}
	return strconv.Itoa(max(1, worst*(100-o.Quality)/100))
}

// Add implements Encoder.
func (m *mp4) Add(f Frame) error {
	if _, err := m.in.Write(f.RGB); err != nil {
		return m.failure(errors.Join(err, m.stop()))
	}
	return nil
}

// Close implements Encoder.
func (m *mp4) Close() error {
	if err := m.stop(); err != nil {
		return m.failure(err)
	}
	file, err := os.Open(m.path)
	if err != nil {
		return fmt.Errorf("cannot read what ffmpeg wrote: %w", err)
	}
	defer os.Remove(m.path)
	defer file.Close()
	if _, err := io.Copy(m.w, file); err != nil {
		return fmt.Errorf("cannot write the MP4: %w", err)
	}
	return nil
}

// stop ends ffmpeg's input and waits for it.
func (m *mp4) stop() error {
	if m.cmd == nil {
		return nil
	}
	err := m.in.Close()
	if werr := m.cmd.Wait(); werr != nil {
		err = werr
	}
	m.cmd = nil
	return err
}

// failure adds the last line that ffmpeg printed.
func (m *mp4) failure(err error) error {
	lines := strings.Split(strings.TrimSpace(m.errs.String()), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return fmt.Errorf("ffmpeg: %.200s", last)
	}
	return fmt.Errorf("ffmpeg: %w", err)
}

// Abort implements Encoder.
func (m *mp4) Abort() {
	if m.cmd != nil {
		m.cmd.Process.Kill()
		m.stop()
	}
	os.Remove(m.path)
}
