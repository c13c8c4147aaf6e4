// Programs that ask this server, to paste.

const paths = { classification: "v1/classify", detection: "v1/detect", segmentation: "v1/segment" };

// shell quotes a text for a shell.
const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// literal quotes a text for Go and Python alike: both read JSON's escapes, except that Go
// needs no surrogates, which JSON.stringify writes only where the text is damaged.
const literal = (text) => JSON.stringify(text);

const goFields = {
  classification: ["Predictions []struct {\n\t\t\t\tClass       string\n\t\t\t\tProbability float64\n\t\t\t}", "Predictions", "p", "p.Class, p.Probability"],
  detection: ["Objects []struct {\n\t\t\t\tClass string\n\t\t\t\tScore float64\n\t\t\t\tBox   [4]float64 // x, y, width, height in pixels\n\t\t\t}", "Objects", "o", "o.Class, o.Score, o.Box"],
  segmentation: ["Areas []struct {\n\t\t\t\tClass string\n\t\t\t\tShare float64 // of the picture\n\t\t\t}", "Areas", "a", "a.Class, a.Share"],
};

const pythonFields = {
  classification: ["predictions", `p["class"], p["probability"]`, "p"],
  detection: ["objects", `o["class"], o["score"], o["box"]`, "o"],
  segmentation: ["areas", `a["class"], a["share"]`, "a"],
};

// snippets returns programs for a model: { curl, go, python }.
export function snippets({ base, key, name, version, task }) {
  const url = new URL(paths[task], base);
  url.searchParams.set("model", name);
  if (version) {
    url.searchParams.set("version", version);
  }
  const address = url.href;
  const [fields, list, one, values] = goFields[task];
  const [pyList, pyValues, pyOne] = pythonFields[task];
  const auth = `Bearer ${key}`;
  return {
    curl: `curl --data-binary @photo.jpg${key ? ` -H ${shell(`Authorization: ${auth}`)}` : ""} ${shell(address)}\n`,
    go: `package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	photo, err := os.Open("photo.jpg")
	if err != nil {
		log.Fatal(err)
	}
	defer photo.Close()
	request, err := http.NewRequest("POST", ${literal(address)}, photo)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/octet-stream")
${key ? `	request.Header.Set("Authorization", ${literal(auth)})\n` : ""}	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Error   string
		Results []struct {
			${fields}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		log.Fatal(err)
	}
	if answer.Error != "" {
		log.Fatal(answer.Error)
	}
	for _, ${one} := range answer.Results[0].${list} {
		fmt.Println(${values})
	}
}
`,
    python: `import json, sys, urllib.error, urllib.request

request = urllib.request.Request(
    ${literal(address)},
    data=open("photo.jpg", "rb").read(),
    headers={"Content-Type": "application/octet-stream"${key ? `, "Authorization": ${literal(auth)}` : ""}},
)
try:
    answer = json.load(urllib.request.urlopen(request))
except urllib.error.HTTPError as e:
    sys.exit(json.load(e)["error"])
for ${pyOne} in answer["results"][0].get("${pyList}", []):
    print(${pyValues})
`,
  };
}
