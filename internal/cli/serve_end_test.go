//go:build unix

package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Under load, SIGTERM ends the server when everything that it took is answered, while it
// drains, and rightly; after kill -9, nothing that came before is a wrong answer.
func TestServeEndsUnderLoad(t *testing.T) {
	picture := filepath.Join(t.TempDir(), "a.png")
	writePicture(t, picture, 3)
	body, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		cmd := program(t, "serve", "--json", "--http", "127.0.0.1:0", "--log", "none", "--drain", "600ms")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		text, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var line servingLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		type answer struct {
			Results []struct{ Predictions []struct{ Class string } }
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
		ask := func() (class string, err error) {
			r, err := client.Post(line.URL+"/v1/classify?topk=1", "", bytes.NewReader(body))
			if err != nil {
				return "", err
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			var a answer
			if err == nil {
				err = json.Unmarshal(b, &a)
			}
			if err != nil || r.StatusCode != http.StatusOK || len(a.Results) != 1 || len(a.Results[0].Predictions) != 1 {
				return "status " + r.Status + ": " + string(b), err
			}
			return a.Results[0].Predictions[0].Class, nil
		}
		want, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		var answered, wrong, cut atomic.Int64
		end := time.Now().Add(800 * time.Millisecond) // within the time of draining
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				for time.Now().Before(end) {
					switch class, err := ask(); {
					case err != nil:
						cut.Add(1)
					case class != want:
						wrong.Add(1)
						t.Errorf("%v: the answer is %q, must be %q", sig, class, want)
					default:
						answered.Add(1)
					}
				}
			})
		}
		time.Sleep(400 * time.Millisecond)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		_ = cmd.Wait() // the exit code tells all
		t.Logf("%v: %d answered, %d cut off, code %d", sig, answered.Load(), cut.Load(), cmd.ProcessState.ExitCode())
		if sig == syscall.SIGTERM && (cut.Load() != 0 || cmd.ProcessState.ExitCode() != exitDone) || answered.Load() == 0 {
			t.Errorf("%v: %d answered, %d cut off, code %d", sig, answered.Load(), cut.Load(), cmd.ProcessState.ExitCode())
		}
		if sig == syscall.SIGKILL && cut.Load() == 0 {
			t.Error("kill -9 cut nothing off: the test was too late")
		}
	}
}
