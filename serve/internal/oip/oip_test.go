package oip

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/membound"
)

// join puts binary data behind JSON, as a request has them.
func join(text string, data ...[]byte) (body []byte, size int) {
	return slices.Concat([]byte(text), slices.Concat(data...)), len(text)
}

func TestDataOfAllFormsAreTheSame(t *testing.T) {
	want := []float32{1, 2.5, -3e-3, 4, 5, 6}
	var raw, raw16 []byte
	for _, v := range want {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		raw16 = binary.LittleEndian.AppendUint16(raw16, uint16(math.Float32bits(v)>>16))
	}
	for name, request := range map[string]struct {
		input string
		data  []byte
	}{
		"flat":         {`"datatype":"FP32","shape":[1,3,2],"data":[1,2.5,-3e-3,4,5,6]`, nil},
		"nested":       {`"datatype":"FP32","shape":[1,3,2],"data":[[[1,2.5],[-3e-3,4],[5,6]]]`, nil},
		"spaced":       {`"datatype":"FP32","shape":[3,2],"data": [ [1 , 2.5],` + "\n\t" + `[-3e-3,4 ] ,[5,6]] `, nil},
		"FP64":         {`"datatype":"FP64","shape":[3,2],"data":[[1,2.5],[-3e-3,4],[5,6]]`, nil},
		"binary":       {`"datatype":"FP32","shape":[3,2],"parameters":{"binary_data_size":24}`, raw},
		"binary, BF16": {`"datatype":"BF16","shape":[6],"parameters":{"binary_data_size":12}`, raw16},
	} {
		body, size := join(`{"id":"a","inputs":[{"name":"x",`+request.input+`}]}`, request.data)
		r, err := ParseRequest(body, size)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := r.Inputs[0].Floats(0, 6)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i := range want {
			if d := math.Abs(float64(got[i] - want[i])); d > 1e-5 {
				t.Errorf("%s: element %d is %v, must be %v", name, i, got[i], want[i])
			}
		}
	}
}

func TestTextsAndFiles(t *testing.T) {
	var raw []byte
	for _, e := range []string{"", "a", "\x00\xff"} {
		raw = append(binary.LittleEndian.AppendUint32(raw, uint32(len(e))), e...)
	}
	body, size := join(fmt.Sprintf(`{"inputs":[{"name":"x","datatype":"BYTES","shape":[3,1],"parameters":{"binary_data_size":%d}},{"name":"y","datatype":"BYTES","shape":[2],"data":["a\n\"","ü"]}]}`, len(raw)), raw)
	r, err := ParseRequest(body, size)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%q %q", r.Inputs[0].Elements, r.Inputs[1].Elements); got != `["" "a" "\x00\xff"] ["a\n\"" "ü"]` {
		t.Error(got)
	}
	if back := r.Inputs[0].AppendRaw(nil); string(back) != string(raw) || len(raw) != r.Inputs[0].RawSize() {
		t.Errorf("the elements are sent as %q, came as %q", back, raw)
	}
}

// Each request is wrong in one way, which its error names.
func TestErrorsNameWhatIsWrong(t *testing.T) {
	in := func(rest string) string { return `{"inputs":[{"name":"x",` + rest + `}]}` }
	for _, c := range []struct{ body, want string }{
		{``, "not the JSON of a request"},
		{`{`, "not the JSON of a request"},
		{`[]`, "array"},
		{`{"inputs":[]}`, `no "inputs"`},
		{`{"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]}`, "no name"},
		{`{"inputs":7}`, "inputs"},
		{"{\"id\":\"\xff\",\"inputs\":[]}", "UTF-8"},
		{in(`"datatype":"FP32","shape":[1],"data":[1]`) + "x", "1 bytes follow the JSON"},
		{in(`"datatype":"FP32","data":[1]`), "no shape"},
		{in(`"datatype":"FP32","shape":[-1],"data":[1]`), "negative"},
		{in(`"datatype":"FP32","shape":[1.5],"data":[1]`), "shape"},
		{in(`"datatype":"FP32","shape":[1000000000,1000000000,1000000000],"data":[1]`), "too many"},
		{in(`"datatype":"FP32","shape":[1000000],"data":[1]`), "too short"},
		{in(`"datatype":"float","shape":[1],"data":[1]`), `"float"`},
		{in(`"datatype":"FP16","shape":[1],"data":[1]`), "binary"},
		{in(`"datatype":"FP32","shape":[1]`), `no "data"`},
		{in(`"datatype":"FP32","shape":[1],"data":1`), "not a list"},
		{in(`"datatype":"FP32","shape":[1],"data":null`), "not a list"},
		{in(`"datatype":"FP32","shape":[2],"data":[1]`), "bytes"},
		{in(`"datatype":"FP32","shape":[1],"data":[1,2]`), "more elements"},
		{in(`"datatype":"FP32","shape":[2,2],"data":[[1,2,3],[4]]`), "depth 2"},
		{in(`"datatype":"FP32","shape":[2,2],"data":[[1,2],3,4]`), "mix"},
		{in(`"datatype":"FP32","shape":[2,2],"data":[[[1]],[2]]`), "deeper"},
		{in(`"datatype":"FP32","shape":[2,1,1],"data":[[1],[2]]`), "nested 2 deep"},
		{in(`"datatype":"FP32","shape":[1],"data":["1"]`), `element 0 is "1"`},
		{in(`"datatype":"FP32","shape":[1],"data":[true]`), "element 0 is true"},
		{in(`"datatype":"FP32","shape":[1],"data":[null]`), "element 0 is null"},
		{in(`"datatype":"FP32","shape":[1],"data":[{}]`), "element 0"},
		{in(`"datatype":"FP32","shape":[1],"data":[1e99]`), "element 0 is 1e99"},
		{in(`"datatype":"INT8","shape":[1],"data":[200]`), "element 0 is 200"},
		{in(`"datatype":"BYTES","shape":[1],"data":[1]`), "element 0 is 1"},
		{in(`"datatype":"FP32","shape":[1],"data":[1],"parameters":{"a":[1]}`), "parameter a"},
		{in(`"datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}`), "binary_data_size is 4, but 0 bytes"},
		{in(`"datatype":"FP32","shape":[1],"parameters":{"binary_data_size":-1}`), "binary_data_size is -1"},
		{in(`"datatype":"FP32","shape":[1],"parameters":{"binary_data_size":"4"}`), "whole number"},
		{in(`"datatype":"FP32","shape":[1],"data":[1],"parameters":{"binary_data_size":0}`), "both"},
		{`{"outputs":[{}],` + in(`"datatype":"FP32","shape":[1],"data":[1]`)[1:], "output 0 has no name"},
	} {
		_, err := ParseRequest([]byte(c.body), -1)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n\tgives the error %v, must name %q", c.body, err, c.want)
		}
	}
	for _, c := range []struct {
		body string
		size int
		want string
	}{
		{`{}`, 3, "Inference-Header-Content-Length is 3"},
		{in(`"datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}`) + "123456", len(in(`"datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}`)), "2 bytes are left"},
		{in(`"datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}`) + "\x09\x00\x00\x00a", len(in(`"datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}`)), "has 9 bytes by its length, but 1 follow"},
	} {
		_, err := ParseRequest([]byte(c.body), c.size)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n\tgives the error %v, must name %q", c.body, err, c.want)
		}
	}
}

func TestAnswers(t *testing.T) {
	r := Response{Model: "a\"b", Version: "1", ID: "ü", Binary: []bool{false, true, false, false}, Outputs: []Tensor{
		{Name: "p", Shape: []int64{1, 2}}, {Name: "q", Shape: []int64{1}}, {Name: "t", Type: Bytes, Shape: []int64{2}, Elements: [][]byte{[]byte("x\n"), []byte("y")}},
		{Name: "i", Shape: []int64{2}},
	}}
	r.Outputs[0].SetFloats([]float32{0.1, 1e-20})
	r.Outputs[1].SetFloats([]float32{1})
	r.Outputs[3].SetInts([]int64{-1, 1 << 40})
	body, size := r.Append(nil)
	var got any
	if err := json.Unmarshal(body[:size], &got); err != nil {
		t.Fatalf("%v: %s", err, body[:size])
	}
	want := `{"id":"ü","model_name":"a\"b","model_version":"1","outputs":[` +
		`{"data":[0.1,1e-20],"datatype":"FP32","name":"p","shape":[1,2]},{"datatype":"FP32","name":"q","parameters":{"binary_data_size":4},"shape":[1]},` +
		`{"data":["x\n","y"],"datatype":"BYTES","name":"t","shape":[2]},{"data":[-1,1099511627776],"datatype":"INT64","name":"i","shape":[2]}]}`
	if b, _ := json.Marshal(got); string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	if string(body[size:]) != "\x00\x00\x80\x3f" {
		t.Errorf("the binary data are %x", body[size:])
	}
}

// What is read is checked against its shape, takes memory in proportion to its size,
// and never panics.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"id":"1","parameters":{"binary_data_output":true},"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[[1,2]]}],"outputs":[{"name":"p","parameters":{"classification":3}}]}`), -1)
	f.Add([]byte(`{"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}]}`+"\x01\x00\x00\x00a"), 88)
	f.Add([]byte(`{"inputs":[{"name":"x","datatype":"BYTES","shape":[0,2],"data":[]}]}`), -1)
	f.Add([]byte(`{"inputs":[{"name":"x","datatype":"INT64","shape":[2,2],"data":[[1,2],[3,4]]}]}`), -1)
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		var r *Request
		var err error
		if used, over := membound.Over(membound.Slack, 64, len(body), func() { r, err = ParseRequest(body, max(size, -1)) }); over {
			t.Fatalf("%d bytes took %d bytes of memory", len(body), used)
		}
		if err != nil {
			return
		}
		for _, in := range r.Inputs {
			if err := in.check(); err != nil {
				t.Fatal(err)
			}
			for _, o := range r.Outputs {
				_, _ = r.BinaryOutput(o)
			}
		}
	})
}
