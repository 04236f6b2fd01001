from ..protocols import *
class Linear:
    def reply(self, o):
        sp=o.space; n=sum(m.sender==o.agent for m in o.heard)
        best=sp.utilities[0]; asp=best*(1-0.1*n)
        if o.standing is not None and o.may(Act.ACCEPT_PROPOSAL) and sp.utility(o.standing.content,mine=False)>=asp: return Reply(act=Act.ACCEPT_PROPOSAL)
        i=0
        while i+1<len(sp.utilities) and sp.utilities[i+1]>=asp: i+=1
        return Reply(act=Act.PROPOSE,content=sp.offers[i])
class P:
    def __init__(s,a): s.a=a; s.q=[]
    def ask(s,t,o): s.q.append((t,o))
    def poll(s,w):
        q,s.q=s.q,[]
        return [(t,s.a.reply(o)) for t,o in q]
