package keras
import ("testing";"fmt";"os";"time")
func TestTry(t *testing.T){
 for _,p:=range []string{"/tmp/m.weights.h5","/tmp/m.h5","/tmp/m2.h5","/tmp/m3.h5","/tmp/r50.h5","/tmp/r50.weights.h5"} {
  t0:=time.Now()
  m,err:=Load(p); if err!=nil{fmt.Println(p,err);continue}
  fmt.Println(p,m.Name(),m.Input(),m.Classes(),m.Final,m.Preprocess,m.BGR,len(m.layers),time.Since(t0))
  if err:=Save("/tmp/out.keras",m);err!=nil{t.Error(err)}
  if err:=Save("/tmp/out.h5",m);err!=nil{t.Error(err)}
  if _,err:=Load("/tmp/out.keras");err!=nil{t.Error(err)}
  if _,err:=Load("/tmp/out.h5");err!=nil{t.Error(err)}
 }
 _=os.Args
}
