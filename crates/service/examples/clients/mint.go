// Mints with a session of `quorate serve`, by Go's standard library: go run mint.go
package main

import ("bytes"; "encoding/json"; "fmt"; "net/http"; "os"; "strings"; "time")

type object = map[string]any

func call(method string, params ...any) (result any) {
	body, _ := json.Marshal(object{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	request, _ := http.NewRequest("POST", os.Getenv("QUORATE_URL"), bytes.NewReader(body))
	request.Header = http.Header{"Authorization": {"Bearer " + os.Getenv("QUORATE_TOKEN")}, "Content-Type": {"application/json"}}
	response, err := http.DefaultClient.Do(request)
	if err != nil { panic(err) }
	var answer object
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer["error"] != nil { panic(fmt.Sprint(err, answer)) }
	return answer["result"]
}

func main() {
	account := call("eth_accounts").([]any)[0].(string)
	mint := object{"to": os.Getenv("NFT"), "data": "0x40d097c3" + strings.Repeat("0", 24) + account[2:]} // safeMint(address)
	sent := call("wallet_sendCalls", object{"version": "2.0.0", "chainId": call("eth_chainId"), "from": account,
		"atomicRequired": false, "calls": []object{mint}}).(object)
	status := object{"status": 100.0}
	for ; status["status"] == 100.0; time.Sleep(200 * time.Millisecond) { status = call("wallet_getCallsStatus", sent["id"]).(object) }
	fmt.Println(status["status"], status["receipts"].([]any)[0].(object)["transactionHash"])
}
