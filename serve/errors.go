package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"

	"github.com/resnet-go/resnet"
)

// apiError is an error with the status that a client gets.
type apiError struct {
	status int // of HTTP
	text   string
	retry  time.Duration // if above 0: when to try again
}

// Error returns what the client gets as "error".
func (e *apiError) Error() string { return e.text }

func errorf(status int, format string, args ...any) *apiError {
	return &apiError{status: status, text: fmt.Sprintf(format, args...)}
}

// badRequest is the error for a request that the client must change.
func badRequest(err error) error {
	if known := (*apiError)(nil); errors.As(err, &known) {
		return err
	}
	return &apiError{status: http.StatusBadRequest, text: err.Error()}
}

// statusClientClosed is nginx's status for a client that has gone away; only logs and
// metrics see it.
const statusClientClosed = 499

// asAPI gives any error a status.
func asAPI(err error) *apiError {
	var known *apiError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &large):
		return errorf(http.StatusRequestEntityTooLarge, "the body is larger than the limit of %d bytes", large.Limit)
	case errors.Is(err, resnet.ErrNonFinite):
		return errorf(http.StatusUnprocessableEntity, "%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return errorf(http.StatusGatewayTimeout, "the answer did not come before the request's deadline")
	case errors.Is(err, context.Canceled):
		return errorf(statusClientClosed, "the client has ended the request")
	default:
		return errorf(http.StatusInternalServerError, "%v", err)
	}
}

// asConnect gives an error the code of gRPC.
func asConnect(err error) error {
	e := asAPI(err)
	code := connect.CodeInternal
	switch e.status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		code = connect.CodeInvalidArgument
	case http.StatusUnauthorized:
		code = connect.CodeUnauthenticated
	case http.StatusForbidden:
		code = connect.CodePermissionDenied
	case http.StatusNotFound:
		code = connect.CodeNotFound
	case http.StatusNotImplemented:
		code = connect.CodeUnimplemented
	case http.StatusTooManyRequests:
		code = connect.CodeResourceExhausted
	case http.StatusServiceUnavailable:
		code = connect.CodeUnavailable
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		code = connect.CodeDeadlineExceeded
	case statusClientClosed:
		code = connect.CodeCanceled
	}
	out := connect.NewError(code, errors.New(e.text))
	if e.retry > 0 {
		out.Meta().Set("Retry-After", retryAfter(e.retry))
	}
	return out
}

// retryAfter returns a time in whole seconds, at least one, as the header has it.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(max(int(math.Ceil(d.Seconds())), 1))
}

type errorBody struct {
	Error     string `json:"error"`
	RequestID string `json:"request_id,omitempty"`
}

// fail answers a request with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := asAPI(err)
	if e.status >= 500 && e.status != http.StatusServiceUnavailable && e.status != http.StatusGatewayTimeout {
		s.log.LogAttrs(r.Context(), slog.LevelError, "a request failed", slog.String("path", r.URL.Path), slog.String("error", e.text), slog.String("request_id", requestID(r.Context())))
	}
	if e.retry > 0 {
		w.Header().Set("Retry-After", retryAfter(e.retry))
	}
	if e.status == http.StatusRequestEntityTooLarge || e.status == http.StatusRequestTimeout {
		w.Header().Set("Connection", "close") // the rest of the body is not read
	}
	writeJSON(w, e.status, errorBody{e.text, requestID(r.Context())})
}

// writeJSON answers with a value as JSON.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // only of a value that has no form in JSON, such as NaN
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer has no form in JSON"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
