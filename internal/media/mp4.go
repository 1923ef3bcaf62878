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

// mp4 pipes frames into ffmpeg. It writes to a temporary file, as it has to go back to put the
// index first, and Close copies that to w.
type mp4 struct {
	w    io.Writer
	cmd  *exec.Cmd      // nil once it has ended
	in   io.WriteCloser // raw frames
	errs bytes.Buffer   // what ffmpeg prints
	path string         // of the temporary file
}

// newMP4 starts ffmpeg. Without it, or for odd sizes, which 4:2:0 has no place for, it is an error.
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

	// ffmpeg opens it by name.
	file.Close()

	m := &mp4{w: w, path: file.Name()}

	// ffmpeg reads frames from a pipe, so that a clip is never in memory as a whole.
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

// arguments returns ffmpeg's arguments: raw RGB in; H.264 out, 4:2:0 in the colours of HD
// television, so that every player shows it, with the index first, so that browsers can begin at
// once.
func arguments(o Options, path string) []string {
	size, fps := fmt.Sprintf("%dx%d", o.Width, o.Height), fmt.Sprintf("%d/%d", o.FPS, o.per())
	return []string{"-hide_banner", "-loglevel", "error", "-nostdin", "-y",
		"-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", size, "-framerate", fps, "-i", "pipe:0",
		"-vf", "scale=out_color_matrix=bt709:out_range=tv", "-c:v", "libx264", "-crf", rateFactor(o),
		"-pix_fmt", "yuv420p", "-colorspace", "bt709", "-color_primaries", "bt709",
		"-color_trc", "bt709", "-movflags", "+faststart", "-f", "mp4", path}
}

// rateFactor returns x264's constant rate factor for a quality, as imageio maps it, so that values
// of other servers mean the same here. 0 would be lossless, in a profile of H.264 that many players
// lack, hence 1 at least.
func rateFactor(o Options) string {
	const usual, worst = 17, 51
	if o.Quality == 0 {
		return strconv.Itoa(usual)
	}
	return strconv.Itoa(max(1, worst*(100-o.Quality)/100))
}

// Add implements Encoder. When ffmpeg has died, the pipe breaks, and the error is what it said.
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

// stop closes ffmpeg's input and waits for it to end.
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

// failure returns the last line that ffmpeg printed, or err if it printed none.
func (m *mp4) failure(err error) error {
	// The last line is what it failed at; others are warnings.
	lines := strings.Split(strings.TrimSpace(m.errs.String()), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return fmt.Errorf("ffmpeg: %.200s", last)
	}
	return fmt.Errorf("ffmpeg: %w", err)
}

// Abort implements Encoder.
func (m *mp4) Abort() {
	if m.cmd != nil {
		// ffmpeg need not finish what nobody will read.
		m.cmd.Process.Kill()
		m.stop()
	}
	os.Remove(m.path)
}
